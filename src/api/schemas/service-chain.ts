// SPDX-License-Identifier: Apache-2.0
import {
  atomicList,
  choice,
  dnsLabel,
  flag,
  integer,
  labelSelector,
  mapList,
  object,
  text,
  unionRules,
} from './build.ts';
import { CONDITIONS, statusOf } from './conditions.ts';
import { cubeBody } from './cube.ts';
import { endpointPairRules } from './cube-link.ts';
import type { CubeTypeSchema } from './cube-type.ts';
import { endpoint, failurePolicy } from './endpoint.ts';
import type { KindSchema, Schema, Union } from './schema.ts';
import { PRIORITY, spliceFrom } from './splice.ts';
import { asTemplate } from './template.ts';
import { transparentRules } from './transparent.ts';

const TARGET: Union = {
  discriminator: 'type',
  members: { Nodes: 'nodes', Pods: 'pods', Link: 'link' },
  optional: ['Nodes', 'Pods'],
};

const target: Schema = object(
  'Where the chain goes.',
  {
    type: choice(
      'Nodes: onto every node that is selected. Pods: onto the pods of the own namespace that are selected. Link: into a link of another chain.',
      ['Nodes', 'Pods', 'Link'],
      { default: 'Nodes' },
    ),
    nodes: object(
      'Which nodes; without a selector all.',
      { selector: labelSelector('Labels of the nodes.') },
      [],
      { typeName: 'NodesTarget' },
    ),
    pods: object(
      'Which pods of the own namespace; without a selector all.',
      { selector: labelSelector('Labels of the pods.') },
      [],
      { typeName: 'PodsTarget' },
    ),
    link: object(
      'Which link.',
      {
        chain: dnsLabel('Chain that has the link.'),
        namespace: dnsLabel(
          'Namespace of that chain; the own one without it. Another one has to allow it by spliceFrom.',
        ),
        name: dnsLabel('Name of the link in that chain; those of a path are path-0, path-1 and so on.'),
      },
      ['chain', 'name'],
      { typeName: 'LinkTarget' },
    ),
  },
  [],
  { typeName: 'ChainTarget', union: TARGET, rules: unionRules(TARGET), default: { type: 'Nodes' } },
);

const UPDATE: Union = {
  discriminator: 'type',
  members: { AllAtOnce: null, RollingUpdate: 'rollingUpdate', OnDelete: null },
  optional: ['RollingUpdate'],
};

const percentOrCount: Schema = {
  'x-kubernetes-int-or-string': true,
  description:
    'Nodes that may be without a programmed chain during the update: a number, or a percentage of the selected nodes.',
  default: 1,
  maxLength: 4,
  pattern: '^(100|[1-9]?[0-9])%$',
  minimum: 0,
  rules: [
    {
      id: 'MaxUnavailableZero',
      cel: "self != 0 && self != '0%'",
      message: 'maxUnavailable is zero, so no node could ever be updated',
      remedy: 'allow at least 1 node or 1%',
      twin: (self) => self !== 0 && self !== '0%',
    },
  ],
};

const updateStrategy: Schema = object(
  'How a new revision reaches the nodes. Each node changes at once in every case.',
  {
    type: choice(
      'AllAtOnce: on all nodes without waiting. RollingUpdate: on some nodes at a time, stopping when they do not become ready. OnDelete: on a node when its cubes are deleted.',
      ['AllAtOnce', 'RollingUpdate', 'OnDelete'],
      { default: 'AllAtOnce' },
    ),
    rollingUpdate: object(
      'Pace of a rolling update.',
      {
        maxUnavailable: percentOrCount,
        minReadySeconds: integer('How long a node must be ready before the next one starts.', 0, 3600, {
          default: 0,
          unit: 'seconds',
        }),
      },
      [],
      { typeName: 'RollingUpdate' },
    ),
  },
  [],
  { typeName: 'UpdateStrategy', union: UPDATE, rules: unionRules(UPDATE), default: { type: 'AllAtOnce' } },
);

export function serviceChainKind(types: CubeTypeSchema[]): KindSchema {
  const body = cubeBody(types);
  return {
    kind: 'ServiceChain',
    plural: 'servicechains',
    singular: 'servicechain',
    shortNames: ['chain'],
    scope: 'Namespaced',
    description:
      'A template of cubes and links that the operator stamps onto every node it selects, as a DaemonSet does with Pods. Texts may hold node variables: $(node.name), $(node.internalIPs.ipv4), $(node.podCIDRs.ipv6.gateway); an element of a list whose variable the node lacks is left out.',
    spec: object(
      'What to stamp where.',
      {
        target,
        mode: choice(
          'Terminating: the chain owns its interfaces alone. Transparent: it is spliced in between, one chain after the other by priority, age and name.',
          ['Terminating', 'Transparent'],
          { default: 'Terminating' },
        ),
        priority: integer(
          'Order among the Transparent chains at one place: the highest is nearest to the first end of the link, or to the interface; then the oldest, then by name.',
          PRIORITY.minimum,
          PRIORITY.maximum,
          { default: PRIORITY.default },
        ),
        spliceFrom: spliceFrom('the links of this chain'),
        failurePolicy: failurePolicy(
          'What happens to packets while a member is not programmed, for every endpoint that says nothing itself. In a Transparent chain Open leaves the chain out, and Closed cuts the link, with a counted drop.',
        ),
        paused: flag('True leaves what is on the nodes as it is.', false),
        updateStrategy,
        cubes: mapList(
          'The cubes.',
          ['name'],
          asTemplate(
            object(
              'One cube, made on each node.',
              { name: dnsLabel('Name inside the chain.'), ...body.properties },
              ['name', 'type'],
              { typeName: 'CubeTemplate', union: body.union, rules: body.rules },
            ),
          ),
          32,
          { minItems: 1 },
        ),
        links: mapList(
          'The links between them.',
          ['name'],
          object(
            'One link, made on each node.',
            {
              name: dnsLabel('Name inside the chain.'),
              endpoints: atomicList('The two ends; their order has no meaning.', endpoint('template'), 2, {
                minItems: 2,
              }),
            },
            ['name', 'endpoints'],
            { typeName: 'LinkTemplate', rules: endpointPairRules },
          ),
          64,
        ),
        path: atomicList(
          'A linear chain, step by step, instead of links: each step is linked to the next. That of a Transparent chain begins with the endpoint that it goes to, or at once with its cubes when it targets a link, and ends with Next.',
          endpoint('path'),
          34,
          { minItems: 2 },
        ),
      },
      ['cubes'],
      {
        typeName: 'ServiceChainSpec',
        rules: [
          {
            id: 'LinksOrPath',
            cel: 'has(self.links) != has(self.path)',
            message: 'links and path exclude each other, and one of them is needed',
            remedy: 'give links, or a path for a linear chain',
            field: '.links',
            twin: (self) => Object.hasOwn(self, 'links') !== Object.hasOwn(self, 'path'),
          },
          {
            id: 'LinkToUnknownCube',
            cel: "!has(self.links) || self.links.all(l, l.endpoints.all(e, e.type != 'Cube' || !has(e.cube) || self.cubes.exists(c, c.name == e.cube.name)))",
            message: 'a link names a cube that is not in the chain',
            remedy: 'add the cube to spec.cubes or correct the name in the link',
            field: '.links',
            twin: (self) =>
              (self.links ?? []).every((l: { endpoints: { type: string; cube?: { name: string } }[] }) =>
                l.endpoints.every(
                  (e) => !e.cube || self.cubes.some((c: { name: string }) => c.name === e.cube?.name),
                ),
              ),
          },
          {
            id: 'PathThroughUnknownCube',
            cel: "!has(self.path) || self.path.all(e, e.type != 'Cube' || !has(e.cube) || self.cubes.exists(c, c.name == e.cube.name))",
            message: 'a step of the path names a cube that is not in the chain',
            remedy: 'add the cube to spec.cubes or correct the name in the path',
            field: '.path',
            twin: (self) =>
              (self.path ?? []).every(
                (e: { cube?: { name: string } }) =>
                  !e.cube || self.cubes.some((c: { name: string }) => c.name === e.cube?.name),
              ),
          },
          {
            id: 'NextOutsideTransparent',
            cel: "self.mode == 'Transparent' || ((!has(self.path) || !self.path.exists(e, e.type == 'Next')) && (!has(self.links) || !self.links.exists(l, l.endpoints.exists(e, e.type == 'Next'))))",
            message: 'an endpoint of type Next stands in a Terminating chain',
            remedy: 'set mode to Transparent, or name the endpoint where packets go',
            field: '.mode',
            twin: (self) =>
              self.mode === 'Transparent' ||
              ![
                ...(self.path ?? []),
                ...(self.links ?? []).flatMap((l: { endpoints: unknown[] }) => l.endpoints),
              ].some((e: { type: string }) => e.type === 'Next'),
          },
          ...transparentRules,
        ],
      },
    ),
    status: statusOf(
      ['Accepted', 'ResolvedRefs', 'Programmed', 'Ready'],
      'the operator',
      {
        revision: text('Newest revision that was rendered.', 63),
        desiredNodes: integer('Nodes that the target selects.', 0, 1000000),
        updatedNodes: integer('Nodes on which the newest revision is committed.', 0, 1000000),
        readyNodes: integer('Nodes on which every member is ready.', 0, 1000000),
      },
      'ServiceChainStatus',
    ),
    rules: [
      {
        id: 'ChainNameNotLabel',
        cel: "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 63",
        message:
          'the name of a chain must be a DNS label, since it becomes part of the names of cubes and links',
        remedy: 'use at most 63 lower-case letters, digits and hyphens, without dots',
        field: '.metadata.name',
        twin: (self) =>
          /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(self.metadata.name) && self.metadata.name.length <= 63,
      },
    ],
    printerColumns: [
      { name: 'Mode', type: 'string', jsonPath: '.spec.mode', description: 'Whether it owns its interfaces' },
      {
        name: 'Nodes',
        type: 'integer',
        jsonPath: '.status.desiredNodes',
        description: 'Nodes that it selects',
      },
      {
        name: 'Updated',
        type: 'integer',
        jsonPath: '.status.updatedNodes',
        description: 'Nodes with the newest revision',
      },
      {
        name: 'ReadyNodes',
        type: 'integer',
        jsonPath: '.status.readyNodes',
        description: 'Nodes where packets pass',
      },
      {
        name: 'Ready',
        type: 'string',
        jsonPath: ".status.conditions[?(@.type=='Ready')].status",
        description: 'Whether packets pass on all of them',
      },
      {
        name: 'Reason',
        type: 'string',
        jsonPath: ".status.conditions[?(@.type=='Ready')].reason",
        description: 'Why it is or is not ready',
        priority: 1,
      },
      {
        name: 'Revision',
        type: 'string',
        jsonPath: '.status.revision',
        description: 'Newest revision',
        priority: 1,
      },
      {
        name: 'Age',
        type: 'date',
        jsonPath: '.metadata.creationTimestamp',
        description: 'Time since creation',
      },
    ],
    selectableFields: ['.spec.mode'],
    conditions: { ...CONDITIONS },
  };
}
