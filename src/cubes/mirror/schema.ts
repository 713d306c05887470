// SPDX-License-Identifier: Apache-2.0
import { atomicList, choice, dnsLabel, integer, object } from '../../api/schemas/build.ts';
import type { CubeTypeSchema } from '../../api/schemas/cube-type.ts';
import { packetMark, packetMatch } from '../../api/schemas/packet-match.ts';

export const schema: CubeTypeSchema = {
  type: 'Mirror',
  member: 'mirror',
  folder: 'mirror',
  description: 'passes packets between its two ports and sends copies of some to further ones.',
  schema: object(
    'Copies of packets for somebody who watches. Every packet passes between the ports outside and inside unchanged, whatever becomes of its copies. A packet that several rules match is copied once to each of their ports. A copy is the frame as it is where the mirror stands, or its first bytes. Segments that the kernel sends as one large packet are copied as one.',
    {
      rules: atomicList(
        'Which packets are copied, and to where.',
        object(
          'One rule. A packet matches when it fulfils every member that is set.',
          {
            name: dnsLabel('Name of the rule, in traces. Without it the rule is known by its place.'),
            direction: choice(
              'Packets that it is for. Ingress: from outside to inside. Egress: from inside to outside.',
              ['Ingress', 'Egress', 'Both'],
              { default: 'Both' },
            ),
            ...packetMatch(4, 4),
            mark: packetMark,
            oneIn: integer(
              'Copies one packet in so many that match, chosen at random. 1: every one.',
              1,
              1000000,
              { default: 1, unit: 'packets' },
            ),
            truncate: integer(
              'Longest copy; what is longer is cut off, but never its headers, up to 20 bytes of TCP or 8 of another protocol. Lengths inside the copy stay those of the packet. A large packet of many segments becomes one frame that the interface takes. A port that is linked to a cube takes whole copies only. Where several rules copy to one port, the longest of them holds. Without it the whole packet.',
              64,
              65535,
              { unit: 'bytes of frame' },
            ),
            port: dnsLabel('Port that the copies leave by; it is linked to an interface or a cube.'),
          },
          ['port'],
          { typeName: 'MirrorRule' },
        ),
        64,
        { default: [] },
      ),
    },
    [],
    { typeName: 'Mirror' },
  ),
  ports: {
    fixed: [
      { name: 'outside', description: 'What comes in here is ingress, and leaves by inside.' },
      { name: 'inside', description: 'What comes in here is egress, and leaves by outside.' },
    ],
    named:
      'Any other name: a port for copies, linked to an interface or a cube. What comes in there is dropped.',
    max: 34,
    addresses: false,
  },
  tables: [],
  hooks: ['TC'],
  rules: [],
  dropReasons: [
    {
      id: 32,
      name: 'FromCopyPort',
      description: 'The packet came in by a port that copies leave by.',
      remedy: 'Nothing, unless what is there should speak to the network: link it elsewhere too.',
    },
  ],
  counters: [
    { id: 0, name: 'matched', description: 'Packets that a rule matched.' },
    { id: 1, name: 'copies', description: 'Copies sent.' },
    {
      id: 2,
      name: 'copyFailures',
      description: 'Copies that the kernel or an interface that is gone did not take; their packets went on.',
    },
    {
      id: 3,
      name: 'notSampled',
      description: 'Matches of a rule that copies one packet in several, without a copy.',
    },
  ],
  decisions: [{ id: 1, name: 'Copied', description: 'A copy was sent by', object: 'rule' }],
  maps: [
    {
      name: 'rules',
      class: 'config',
      key: 'number of the row',
      value: 'what it matches, which port its copies leave by, how many are sampled',
      writer: 'agent',
      description: 'The rules; one with several prefixes or ports is several rows.',
    },
    {
      name: 'kept',
      class: 'config',
      key: 'depth of copies',
      value: 'a parsed packet',
      writer: 'program',
      description: 'What is known of a packet while its copies are on their way.',
    },
  ],
};
