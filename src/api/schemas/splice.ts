// SPDX-License-Identifier: Apache-2.0
/** What makes a CubeLink the head of a Transparent chain: where the chain is spliced in, and before whom. */
import { dnsLabel, dnsSubdomain, integer, object, setOf, text } from './build.ts';
import type { Rule, Schema } from './schema.ts';

export const PRIORITY = { minimum: 0, maximum: 1000, default: 500 } as const;

export const splice: Schema = object(
  'Makes the link the head of a Transparent chain. The cube at its one end, and those linked behind it up to an endpoint of type Next, are put in at the place that its other end names: next to an interface, the pods, the overlay or the stack; or, with type Next, into another CubeLink.',
  {
    link: dnsSubdomain('CubeLink that the chain goes into; exactly when the other end has type Next.'),
    namespace: dnsLabel('Namespace of that CubeLink; the own one without it.'),
    priority: integer(
      'Order among the chains at one place; the highest is nearest to the first end of the link, or to the interface.',
      PRIORITY.minimum,
      PRIORITY.maximum,
      { default: PRIORITY.default },
    ),
    since: text(
      'Age that counts among equal priorities, the oldest first; then the name does. Without it the age of the link.',
      20,
      { pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$' },
    ),
  },
  [],
  {
    typeName: 'Splice',
    rules: [
      {
        id: 'NamespaceWithoutLink',
        cel: '!has(self.namespace) || has(self.link)',
        message: 'namespace is set, but no link',
        remedy: 'name the CubeLink, or remove the namespace',
        field: '.namespace',
        twin: (self) => !Object.hasOwn(self, 'namespace') || Object.hasOwn(self, 'link'),
      },
    ],
  },
);

/** Who may splice a chain in, beside the own namespace. */
export const spliceFrom = (where: string): Schema =>
  setOf(
    `Other namespaces whose Transparent chains may be spliced into ${where}. Those of the own namespace always may.`,
    dnsLabel('Name of a namespace.'),
    16,
  );

/** Rules of a CubeLink's spec. */
export const spliceRules: Rule[] = [
  {
    id: 'SpliceBetweenCubes',
    cel: "!has(self.splice) || self.endpoints.exists(e, e.type != 'Cube')",
    message: 'a link with splice joins two cubes',
    remedy: 'make one endpoint the place where the chain goes: Next with splice.link, or an endpoint',
    field: '.splice',
    twin: (self) =>
      !Object.hasOwn(self, 'splice') || self.endpoints.some((e: { type: string }) => e.type !== 'Cube'),
  },
  {
    id: 'SpliceWithoutPlace',
    cel: "!has(self.splice) || has(self.splice.link) == self.endpoints.exists(e, e.type == 'Next')",
    message: 'splice.link and an endpoint of type Next belong together',
    remedy: 'name the CubeLink in splice.link and make the other endpoint Next, or use neither',
    field: '.splice',
    twin: (self) =>
      !Object.hasOwn(self, 'splice') ||
      Object.hasOwn(self.splice, 'link') === self.endpoints.some((e: { type: string }) => e.type === 'Next'),
  },
];
