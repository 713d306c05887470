// SPDX-License-Identifier: Apache-2.0
import { atomicList, choice, dnsLabel, integer, object, unionRules } from '../../api/schemas/build.ts';
import type { CubeTypeSchema } from '../../api/schemas/cube-type.ts';
import { packetMark, packetMatch } from '../../api/schemas/packet-match.ts';
import type { Schema, Union } from '../../api/schemas/schema.ts';

const ACTION: Union = {
  discriminator: 'type',
  members: { Output: 'output', Drop: null, Punt: null },
};

const action = (description: string, extra: Schema): Schema =>
  object(
    description,
    {
      type: choice(
        'Output: leaves by a port, as it is. Drop: ends here, counted. Punt: goes to the agent, as far as its rate allows, and ends here.',
        ['Output', 'Drop', 'Punt'],
      ),
      output: object('Where the packet leaves.', { port: dnsLabel('Port of the forwarder.') }, ['port'], {
        typeName: 'ForwarderOutput',
      }),
    },
    ['type'],
    { typeName: 'ForwarderAction', union: ACTION, rules: unionRules(ACTION), ...extra },
  );

export const schema: CubeTypeSchema = {
  type: 'Forwarder',
  member: 'forwarder',
  folder: 'forwarder',
  description: 'sends packets to ports by ordered rules.',
  schema: object(
    'A forwarder by policy: the first rule that a packet matches says by which port it leaves, or that it ends here. It keeps no state and changes no packet; frames that are not IP match the rules that ask for nothing of IP.',
    {
      rules: atomicList(
        'Rules.',
        object(
          'One rule. A packet matches when it fulfils every member that is set.',
          {
            name: dnsLabel('Name of the rule, in traces. Without it the rule is known by its place.'),
            priority: integer(
              'Rules are tried from the lowest to the highest; those of one priority in their order.',
              0,
              65535,
              { default: 1000 },
            ),
            inPorts: atomicList(
              'Ports of the forwarder that the packet may come in by. Empty: all.',
              dnsLabel('Name of the port.'),
              64,
            ),
            ...packetMatch(4, 4),
            mark: packetMark,
            action: action('What happens to the packet.', {}),
          },
          ['action'],
          { typeName: 'ForwarderRule' },
        ),
        256,
        { default: [] },
      ),
      defaultAction: action('What happens to packets that no rule matches.', { default: { type: 'Drop' } }),
    },
    [],
    { typeName: 'Forwarder' },
  ),
  ports: {
    fixed: [],
    named: 'Any name; rules say which packets leave by which.',
    max: 64,
    addresses: false,
  },
  tables: [],
  hooks: ['TC'],
  rules: [],
  dropReasons: [
    {
      id: 32,
      name: 'DroppedByRule',
      description: 'A rule with the action Drop matched.',
      remedy: 'Nothing, if the rule is meant; a trace names it.',
    },
    {
      id: 33,
      name: 'DroppedByDefault',
      description: 'No rule matched and the default action is Drop.',
      remedy: 'Add a rule for such packets, or change defaultAction.',
    },
  ],
  counters: [
    { id: 0, name: 'matched', description: 'Packets that a rule decided about.' },
    { id: 1, name: 'unmatched', description: 'Packets left to the default action.' },
  ],
  decisions: [
    { id: 1, name: 'Matched', description: 'Decided by', object: 'rule' },
    { id: 2, name: 'DefaultAction', description: 'No rule matched: the default action.' },
  ],
  maps: [
    {
      name: 'rules',
      class: 'config',
      key: 'number of the row, in the order in which they are tried',
      value: 'what it matches, what happens',
      writer: 'agent',
      description: 'The rules; one with several prefixes or ports is several rows.',
    },
    {
      name: 'rule_counters',
      class: 'config',
      key: 'place of the rule in the spec',
      value: 'packets, bytes',
      writer: 'program',
      description: 'What each rule matched since the spec was changed.',
    },
  ],
};
