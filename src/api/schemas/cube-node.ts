// SPDX-License-Identifier: Apache-2.0
import { choice, dnsLabel, dnsSubdomain, integer, mapList, object, setOf, text } from './build.ts';
import { CONDITIONS, statusOf } from './conditions.ts';
import type { KindSchema } from './schema.ts';

/** What the agent looks for in a kernel; a cube that needs a missing one is not accepted there. */
export const KERNEL_FEATURES = [
  'BTF',
  'TCX',
  'Clsact',
  'RedirectPeer',
  'RedirectNeigh',
  'CollectMetadataVXLAN',
  'RingBuffer',
  'Timer',
  'MapElemIteration',
  'BatchOperations',
] as const;

const chainKey = {
  namespace: dnsLabel('Namespace of the chain.'),
  name: dnsLabel('Name of the chain.'),
  revision: text('Revision of the chain.', 63, { minLength: 1 }),
};

export const cubeNode: KindSchema = {
  kind: 'CubeNode',
  plural: 'cubenodes',
  singular: 'cubenode',
  shortNames: ['cn'],
  scope: 'Cluster',
  description:
    'What Cubeplane knows of one node, under the name of the node: the chain revisions that the operator has committed there, and the agent, kernel and maps that serve them.',
  spec: object(
    'What is committed on the node.',
    {
      chains: mapList(
        'The commit record. The agent applies a revision when all its members with these hashes are there, and applies it at once; until then it runs on the last one that was complete.',
        ['namespace', 'name'],
        object(
          'One chain.',
          {
            ...chainKey,
            members: mapList(
              'The Cubes and CubeLinks of the revision.',
              ['kind', 'name'],
              object(
                'One member.',
                {
                  kind: choice('Kind of the member.', ['Cube', 'CubeLink']),
                  name: dnsSubdomain('Name of the member, in the namespace of the chain.'),
                  hash: text('Hash of its spec.', 63, { minLength: 1 }),
                },
                ['kind', 'name', 'hash'],
                { typeName: 'ChainMember' },
              ),
              128,
            ),
          },
          ['namespace', 'name', 'revision', 'members'],
          { typeName: 'ChainCommit' },
        ),
        64,
        { default: [] },
      ),
    },
    [],
    { typeName: 'CubeNodeSpec', default: {} },
  ),
  status: statusOf(
    ['Programmed', 'Ready'],
    'the agent of the node',
    {
      agentVersion: text('Version of the agent.', 63),
      abi: integer('Version of the cube ABI that the agent loads.', 1, 65535),
      kernel: object(
        "The node's kernel.",
        {
          release: text('Release, as uname shows it.', 128),
          features: setOf('What it can do of what cubes need.', choice('Feature.', KERNEL_FEATURES), 32),
        },
        [],
        { typeName: 'KernelStatus' },
      ),
      uplink: text('Interface that $(node.uplink) stands for.', 15),
      chains: mapList(
        'Chain revisions that the kernel holds.',
        ['namespace', 'name'],
        object('One chain.', chainKey, ['namespace', 'name', 'revision'], { typeName: 'ChainApplied' }),
        64,
      ),
      mapPressure: mapList(
        'Maps that are filling up. A map appears at 80 % and goes below 70 %.',
        ['cube', 'map'],
        object(
          'One map.',
          {
            cube: text('Cube that owns the map, as NAMESPACE/NAME; empty for a map of the node.', 317),
            map: text('Name of the map.', 63, { minLength: 1 }),
            level: choice('High from 80 %, Full from 100 %.', ['High', 'Full']),
            maxEntries: integer('Entries that it can hold.', 1, 4294967295),
          },
          ['cube', 'map', 'level'],
          { typeName: 'MapPressure' },
        ),
        256,
      ),
    },
    'CubeNodeStatus',
  ),
  printerColumns: [
    {
      name: 'Ready',
      type: 'string',
      jsonPath: ".status.conditions[?(@.type=='Ready')].status",
      description: 'Whether all of the node is in the kernel',
    },
    {
      name: 'Reason',
      type: 'string',
      jsonPath: ".status.conditions[?(@.type=='Ready')].reason",
      description: 'Why it is or is not ready',
    },
    { name: 'Agent', type: 'string', jsonPath: '.status.agentVersion', description: 'Version of the agent' },
    {
      name: 'ABI',
      type: 'integer',
      jsonPath: '.status.abi',
      description: 'Version of the cube ABI',
      priority: 1,
    },
    {
      name: 'Kernel',
      type: 'string',
      jsonPath: '.status.kernel.release',
      description: 'Release of the kernel',
      priority: 1,
    },
    {
      name: 'Uplink',
      type: 'string',
      jsonPath: '.status.uplink',
      description: 'Interface of the default route',
      priority: 1,
    },
    {
      name: 'Age',
      type: 'date',
      jsonPath: '.metadata.creationTimestamp',
      description: 'Time since creation',
    },
  ],
  selectableFields: [],
  conditions: {
    Programmed: CONDITIONS.Programmed,
    Ready: CONDITIONS.Ready,
    Reconciling: CONDITIONS.Reconciling,
    Stalled: CONDITIONS.Stalled,
  },
};
