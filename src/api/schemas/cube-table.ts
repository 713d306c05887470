// SPDX-License-Identifier: Apache-2.0
import { addressPool, announcement } from './address-pool.ts';
import { atomicList, choice, integer, object, text, unionRules } from './build.ts';
import { limits } from './limit.ts';
import { identity, policy, prefix, prefixFile, rule } from './policy.ts';
import { TABLE_TYPES } from './port.ts';
import { route } from './route.ts';
import type { KindSchema, Schema, Union } from './schema.ts';
import { service } from './service.ts';

/** Most backends in one table, over all its services: a larger Service is cut in slices. */
export const MAX_BACKENDS = 100;

const UNION: Union = {
  discriminator: 'type',
  members: {
    Service: 'services',
    Route: 'routes',
    Policy: 'policies',
    Identity: 'identities',
    Rule: 'rules',
    Prefix: 'prefixes',
    Limit: 'limits',
    AddressPool: 'addressPool',
    Announcement: 'announcements',
  },
  // they may stand in a file
  optional: ['Prefix'],
};

const slice: Schema = object(
  'Which part of a larger table this is. The rows of an owner are used when all slices of one revision are there.',
  {
    owner: text('What the slices belong to, such as the UID of a Service; the same in all of them.', 253, {
      minLength: 1,
    }),
    index: integer('Number of this slice, from 0.', 0, 9999, { default: 0 }),
    count: integer('How many slices there are.', 1, 10000, { default: 1 }),
    revision: text('Revision of the rows; the same in all slices that belong together.', 63, { default: '' }),
  },
  ['owner'],
  {
    typeName: 'Slice',
    rules: [
      {
        id: 'SliceIndexOutOfCount',
        cel: 'self.index < self.count',
        message: 'index is not below count',
        remedy: 'number the slices from 0 to count - 1',
        field: '.index',
        twin: (self) => self.index < self.count,
      },
    ],
  },
);

export const cubeTable: KindSchema = {
  kind: 'CubeTable',
  plural: 'cubetables',
  singular: 'cubetable',
  shortNames: ['ct'],
  scope: 'Namespaced',
  description:
    'Rows shared by many cubes, such as the services of a cluster: one write changes them on every node. Cubes select tables of their own namespace by type and label.',
  spec: object(
    'The rows; the member that belongs to the type.',
    {
      type: choice('What the rows are.', [...TABLE_TYPES, 'AddressPool'], {
        rules: [
          {
            id: 'Immutable',
            cel: 'self == oldSelf',
            message: 'the type of a table cannot be changed',
            remedy: 'create a table of the other type and delete this one',
            transition: true,
            twin: (self, _library, old) => self === old,
          },
        ],
      }),
      slice,
      services: atomicList('Services, for load balancers.', service, 16),
      routes: atomicList('Routes, for routers.', route, 500),
      policies: atomicList('Network policies, for firewalls.', policy, 4),
      identities: atomicList('Sets of pods that policies speak of.', identity, 100),
      rules: atomicList('Firewall rules.', rule, 500),
      prefixes: atomicList('Prefixes, for DDoS mitigators.', prefix, 1000),
      prefixFile,
      limits: limits('Limits of bandwidth, for rate limiters.', 500),
      addressPool,
      announcements: atomicList(
        'Addresses that nodes answer for, for NATs of role Discriminator.',
        announcement,
        16,
      ),
    },
    ['type'],
    {
      typeName: 'CubeTableSpec',
      union: UNION,
      rules: [
        ...unionRules(UNION),
        {
          id: 'MemberNotOfType',
          cel: "self.type == 'Prefix' || !has(self.prefixFile)",
          message: 'prefixFile is set, but type is not Prefix',
          remedy: 'remove prefixFile or set type to Prefix',
          field: '.prefixFile',
          twin: (self) => self.type === 'Prefix' || self.prefixFile === undefined,
        },
        {
          id: 'TooManyBackends',
          cel: '!has(self.services) || self.services.map(s, s.backends.size()).sum() <= 100',
          message: 'the table holds more than 100 backends',
          remedy: 'cut the rows in slices of at most 100 backends, with the frontends in slice 0',
          field: '.services',
          twin: (self) =>
            (self.services ?? []).reduce(
              (sum: number, row: { backends: unknown[] }) => sum + row.backends.length,
              0,
            ) <= 100,
        },
        {
          id: 'FrontendsOutsideSliceZero',
          cel: '!has(self.slice) || self.slice.index == 0 || !has(self.services) || self.services.all(s, s.frontends.size() == 0)',
          message: 'a slice other than 0 holds frontends',
          remedy: 'move the frontends to the table of slice 0',
          field: '.services',
          kind: 'FieldValueForbidden',
          twin: (self) =>
            !self.slice ||
            self.slice.index === 0 ||
            (self.services ?? []).every((row: { frontends: unknown[] }) => row.frontends.length === 0),
        },
      ],
    },
  ),
  printerColumns: [
    { name: 'Type', type: 'string', jsonPath: '.spec.type', description: 'What the rows are' },
    {
      name: 'Owner',
      type: 'string',
      jsonPath: '.spec.slice.owner',
      description: 'What the rows come from',
      priority: 1,
    },
    { name: 'Slice', type: 'integer', jsonPath: '.spec.slice.index', description: 'Number of the slice' },
    {
      name: 'Slices',
      type: 'integer',
      jsonPath: '.spec.slice.count',
      description: 'How many slices there are',
    },
    {
      name: 'Revision',
      type: 'string',
      jsonPath: '.spec.slice.revision',
      description: 'Revision of the rows',
      priority: 1,
    },
    {
      name: 'Age',
      type: 'date',
      jsonPath: '.metadata.creationTimestamp',
      description: 'Time since creation',
    },
  ],
  selectableFields: ['.spec.type'],
};
