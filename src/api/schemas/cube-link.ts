// SPDX-License-Identifier: Apache-2.0
import { atomicList, choice, dnsSubdomain, immutable, integer, object, text } from './build.ts';
import { CONDITIONS, statusOf } from './conditions.ts';
import { ENDPOINT_TYPES, endpoint } from './endpoint.ts';
import type { KindSchema, Rule } from './schema.ts';
import { splice, spliceFrom, spliceRules } from './splice.ts';

/** Rules about the two ends of a link, the same in a CubeLink and in a chain's link. */
export const endpointPairRules: Rule[] = [
  {
    id: 'LinkWithoutCube',
    cel: "self.endpoints.exists(e, e.type == 'Cube')",
    message: 'neither end of the link is a cube',
    remedy: 'make at least one endpoint a port of a cube',
    field: '.endpoints',
    twin: (self) => self.endpoints.some((e: { type: string }) => e.type === 'Cube'),
  },
  {
    id: 'LinkToItself',
    cel: "!self.endpoints.all(e, e.type == 'Cube' && has(e.cube)) || self.endpoints[0].cube.name != self.endpoints[1].cube.name || self.endpoints[0].cube.port != self.endpoints[1].cube.port",
    message: 'both ends of the link are the same port',
    remedy: 'link two different ports',
    field: '.endpoints',
    twin: (self) => {
      const [a, b] = self.endpoints;
      if (!a.cube || !b.cube) return true;
      return a.cube.name !== b.cube.name || a.cube.port !== b.cube.port;
    },
  },
];

export const cubeLink: KindSchema = {
  kind: 'CubeLink',
  plural: 'cubelinks',
  singular: 'cubelink',
  shortNames: ['cl'],
  scope: 'Namespaced',
  description:
    'One wire on one node: it joins exactly two endpoints, of which at least one is a port of a cube.',
  spec: object(
    'What the link joins.',
    {
      nodeName: dnsSubdomain('Node of the link and of the cubes that it joins. Cannot be changed.', {
        rules: [immutable('the node of a link', 'delete the link and create one for the other node')],
      }),
      endpoints: atomicList('The two ends; their order has no meaning.', endpoint('object'), 2, {
        minItems: 2,
      }),
      splice,
      spliceFrom: spliceFrom('the link'),
    },
    ['nodeName', 'endpoints'],
    { typeName: 'CubeLinkSpec', rules: [...endpointPairRules, ...spliceRules] },
  ),
  status: statusOf(
    ['Accepted', 'ResolvedRefs', 'Programmed', 'Ready'],
    'the agent of the node',
    {
      endpoints: atomicList(
        'State of each end, in the order of the spec.',
        object(
          'State of one end.',
          {
            type: choice('Type of the endpoint.', ENDPOINT_TYPES),
            peer: text('What it is: CUBE/PORT, or the name of the interface.', 512),
            ifindex: integer('Index of the interface, where there is one.', 0, 2147483647),
            state: choice('Up: packets pass.', ['Up', 'Down', 'Unknown']),
            message: text('Why it is not up, for people.', 1024),
          },
          ['type', 'state'],
          { typeName: 'EndpointStatus' },
        ),
        2,
      ),
      through: atomicList(
        'Cubes that are spliced into the link, from its first end to its second.',
        text('Name of a cube.', 253),
        64,
      ),
    },
    'CubeLinkStatus',
  ),
  printerColumns: [
    { name: 'Node', type: 'string', jsonPath: '.spec.nodeName', description: 'Node of the link' },
    { name: 'A', type: 'string', jsonPath: '.spec.endpoints[0].type', description: 'Type of the first end' },
    { name: 'B', type: 'string', jsonPath: '.spec.endpoints[1].type', description: 'Type of the second end' },
    {
      name: 'Ready',
      type: 'string',
      jsonPath: ".status.conditions[?(@.type=='Ready')].status",
      description: 'Whether packets pass',
    },
    {
      name: 'Reason',
      type: 'string',
      jsonPath: ".status.conditions[?(@.type=='Ready')].reason",
      description: 'Why it is or is not ready',
    },
    {
      name: 'Age',
      type: 'date',
      jsonPath: '.metadata.creationTimestamp',
      description: 'Time since creation',
    },
  ],
  selectableFields: ['.spec.nodeName'],
  conditions: { ...CONDITIONS },
};
