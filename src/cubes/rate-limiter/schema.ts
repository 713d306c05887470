// SPDX-License-Identifier: Apache-2.0
import { integer, object } from '../../api/schemas/build.ts';
import type { CubeTypeSchema } from '../../api/schemas/cube-type.ts';
import { limits } from '../../api/schemas/limit.ts';
import { outsideOrInside } from '../outside-inside.ts';

export const schema: CubeTypeSchema = {
  type: 'RateLimiter',
  member: 'rateLimiter',
  folder: 'rate-limiter',
  description: 'holds addresses to a bandwidth, towards them and from them.',
  schema: object(
    'Limits the bandwidth of addresses behind the port inside, each direction by a token bucket. What is over is dropped, not held back. Packets of an address that has no limit, ARP and neighbour discovery pass. With tables of type Limit it gets those of the node’s pods, too, that the container runtime asks for (docs/cni.md).',
    {
      limits: limits('Limits, in addition to the rows of Limit tables. More of them go into tables.', 100, {
        default: [],
      }),
      maxLimits: integer(
        'Limits that fit, of the spec and of tables together; four times as many addresses do. Memory in the kernel: about 200 bytes a limit, and as much for each address with one.',
        16,
        65536,
        { default: 1024, unit: 'limits' },
      ),
    },
    [],
    { typeName: 'RateLimiter' },
  ),
  ports: {
    fixed: [
      { name: 'outside', description: 'What comes in here is ingress: limited by its destination.' },
      {
        name: 'inside',
        description:
          'Where the addresses with limits are. What comes in here is egress: limited by its source.',
      },
    ],
    named: 'No others.',
    max: 2,
    addresses: false,
  },
  tables: ['Limit'],
  hooks: ['TC'],
  rules: [
    outsideOrInside({
      id: 'UnknownPort',
      message: 'a RateLimiter has the ports outside and inside, and no others',
      remedy: 'name the port towards the addresses that are limited inside, the other one outside',
    }),
  ],
  dropReasons: [
    {
      id: 32,
      name: 'IngressRateExceeded',
      description: 'More was sent to the address than the ingress of its limit allows.',
      remedy:
        'Nothing, if it is meant: TCP finds the rate by such drops. Otherwise raise the limit, or its burst if the rate is not reached.',
    },
    {
      id: 33,
      name: 'EgressRateExceeded',
      description: 'The address sent more than the egress of its limit allows.',
      remedy:
        'Nothing, if it is meant: TCP finds the rate by such drops. Otherwise raise the limit, or its burst if the rate is not reached.',
    },
  ],
  counters: [{ id: 0, name: 'limited', description: 'Packets within a limit.' }],
  decisions: [
    { id: 1, name: 'WithinLimit', description: 'Enough was left of', object: 'limit' },
    { id: 2, name: 'OverLimit', description: 'Nothing was left of', object: 'limit' },
  ],
  maps: [
    {
      name: 'limits',
      class: 'config',
      key: 'address',
      value: 'number of its limit',
      writer: 'agent',
      description: 'Which addresses have a limit, and which share one.',
    },
    {
      name: 'buckets',
      class: 'config',
      key: 'number of the limit, twice, and 1 more for egress',
      value: 'what a byte costs, the burst, the time when the bucket is full again',
      writer: 'agent, program',
      description: 'The token buckets, in ticks of 1/16 ns. One that changes is full again.',
      objects: { key: 'limit' },
    },
    {
      name: 'limit_drops',
      class: 'config',
      key: 'as that of buckets',
      value: 'packets and bytes that were over the limit',
      writer: 'program',
      description: 'What each limit has dropped, since it or the spec was changed.',
      objects: { key: 'limit' },
      counts: true,
    },
  ],
};
