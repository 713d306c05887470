// SPDX-License-Identifier: Apache-2.0
import {
  atomicList,
  choice,
  dnsLabel,
  flag,
  integer,
  mac,
  mapList,
  object,
  unionRules,
} from '../../api/schemas/build.ts';
import type { CubeTypeSchema } from '../../api/schemas/cube-type.ts';
import type { Schema, Union } from '../../api/schemas/schema.ts';

const vlanId = (description: string, extra: Schema = {}): Schema => integer(description, 1, 4094, extra);

const VLAN: Union = { discriminator: 'type', members: { Access: 'access', Trunk: 'trunk' } };

const vlan = object(
  'VLANs of the port (IEEE 802.1Q). Without it the port is an access port of VLAN 1.',
  {
    type: choice(
      'Access: frames carry no tag and belong to one VLAN; a tagged frame is dropped. Trunk: frames of several VLANs, told apart by their tag.',
      ['Access', 'Trunk'],
    ),
    access: object('The VLAN of an access port.', { vlan: vlanId('Number of the VLAN.') }, ['vlan'], {
      typeName: 'AccessVlan',
    }),
    trunk: object(
      'The VLANs of a trunk.',
      {
        vlans: atomicList(
          'VLANs whose frames carry their tag.',
          object(
            'One VLAN or a range of them.',
            {
              first: vlanId('The VLAN, or the first one of a range.'),
              last: vlanId('The last VLAN of a range. Without it there is one only.'),
            },
            ['first'],
            {
              typeName: 'VlanRange',
              rules: [
                {
                  id: 'VlanRangeReversed',
                  cel: '!has(self.last) || self.last >= self.first',
                  message: 'the range ends before it begins',
                  remedy: 'give last a number that is not below first',
                  field: '.last',
                  twin: (self) => self.last === undefined || self.last >= self.first,
                },
              ],
            },
          ),
          64,
          { default: [] },
        ),
        native: vlanId('VLAN of frames without a tag. Without it they are dropped.'),
      },
      [],
      { typeName: 'TrunkVlans' },
    ),
  },
  ['type'],
  { typeName: 'PortVlan', union: VLAN, rules: unionRules(VLAN) },
);

const limit = (what: string): Schema =>
  object(
    `Limit on ${what}.`,
    {
      packetsPerSecond: integer('Frames in a second in the long run.', 1, 10000000, {
        unit: 'packets a second',
      }),
      burst: integer('Frames that may come at once after a silence.', 1, 1000000, {
        default: 100,
        unit: 'packets',
      }),
    },
    ['packetsPerSecond'],
    { typeName: 'StormLimit' },
  );

const stormControl = (description: string): Schema =>
  object(
    description,
    {
      broadcast: limit('broadcasts'),
      multicast: limit('multicasts'),
      unknownUnicast: limit('frames for a MAC address that the bridge has not learned'),
    },
    [],
    { typeName: 'StormControl' },
  );

export const schema: CubeTypeSchema = {
  type: 'Bridge',
  member: 'bridge',
  folder: 'bridge',
  description: 'joins its ports to one Ethernet network, by learned MAC addresses, with VLANs.',
  schema: object(
    'A learning bridge with VLANs (IEEE 802.1Q). It runs no spanning tree: rings of bridges are refused.',
    {
      agingSeconds: integer('Time after which a MAC address that sends nothing is forgotten.', 10, 1000000, {
        default: 300,
        unit: 'seconds',
      }),
      maxAddresses: integer(
        'Learned MAC addresses that fit, one for each VLAN that it is in. The longest unused one makes room for a new one.',
        1024,
        1048576,
        { default: 16384, unit: 'addresses' },
      ),
      ports: mapList(
        'Settings of ports that are not the default.',
        ['name'],
        object(
          'Settings of one port.',
          {
            name: dnsLabel('Name of the port.'),
            vlan,
            learning: flag('Whether MAC addresses are learned from what comes in here.', true),
            isolated: flag('Isolated ports exchange no frames with each other.', false),
            flood: object(
              'Which frames for nobody in particular leave here.',
              {
                broadcast: flag('Broadcasts.', true),
                multicast: flag('Multicasts.', true),
                unknownUnicast: flag('Frames for a MAC address that the bridge has not learned.', true),
              },
              [],
              { typeName: 'PortFlood', default: {} },
            ),
            stormControl: stormControl(
              'Limits on what comes in here and is flooded, in place of those of the bridge.',
            ),
          },
          ['name'],
          { typeName: 'BridgePort' },
        ),
        64,
      ),
      staticEntries: atomicList(
        'MAC addresses that are at a port for good. A frame from such an address at another port is dropped.',
        object(
          'One MAC address.',
          {
            mac: mac('The address.'),
            port: dnsLabel('Port where it is.'),
            vlan: vlanId('VLAN in which it is there.', { default: 1 }),
          },
          ['mac', 'port'],
          { typeName: 'StaticEntry' },
        ),
        1000,
        { default: [] },
      ),
      stormControl: stormControl(
        'Limits on what comes in by one port and is flooded, for each port that has none of its own. Without a limit all is flooded.',
      ),
    },
    [],
    { typeName: 'Bridge' },
  ),
  ports: {
    fixed: [],
    named: 'Any name; each is a port of the bridge, linked to an interface or to another cube.',
    max: 64,
    addresses: false,
  },
  tables: [],
  hooks: ['TC'],
  rules: [],
  dropReasons: [
    {
      id: 32,
      name: 'VlanNotAllowed',
      description:
        'The frame belongs to a VLAN that its port is not in: tagged at an access port, without a tag at a trunk that has no native VLAN, or with a tag that the trunk does not carry.',
      remedy: 'Compare the tag with spec.bridge.ports[].vlan of the port.',
    },
    {
      id: 33,
      name: 'InvalidSourceMac',
      description: 'The source MAC address is a group address or zero.',
      remedy: 'Look at what the sender runs.',
    },
    {
      id: 34,
      name: 'SamePort',
      description: 'The destination is at the port that the frame came in by.',
      remedy: 'Nothing: the segment behind the port delivers such frames itself.',
    },
    {
      id: 35,
      name: 'StormControl',
      description: 'More frames to be flooded came in by the port than its limit allows.',
      remedy: 'Look for a loop or a scan behind the port; raise stormControl if the load is meant.',
    },
    {
      id: 36,
      name: 'StaticElsewhere',
      description: 'The source MAC address has a static entry for another port.',
      remedy: 'Look for a host that uses the address of another one, or change the static entry.',
    },
    {
      id: 37,
      name: 'NowhereToFlood',
      description: 'No other port takes such frames of the VLAN.',
      remedy: 'Link another port, put one into the VLAN, or look at the flood settings of the ports.',
    },
    {
      id: 38,
      name: 'Isolated',
      description: 'The frame came in by an isolated port and is for a host at another isolated port.',
      remedy: 'Nothing, if the isolation is meant.',
    },
  ],
  counters: [
    { id: 0, name: 'forwarded', description: 'Frames sent to the one port where their destination is.' },
    { id: 1, name: 'flooded', description: 'Frames sent to all ports of their VLAN that take them.' },
    { id: 2, name: 'copies', description: 'Copies made for flooding, beside the frame itself.' },
    {
      id: 3,
      name: 'copyFailures',
      description:
        'Copies that the kernel or an interface that is gone did not take, or for a cube behind more than three bridges that made copies of copies.',
    },
    { id: 4, name: 'learned', description: 'MAC addresses learned, also again after their time was over.' },
    { id: 5, name: 'moved', description: 'MAC addresses that appeared at another port than before.' },
    { id: 6, name: 'learnFailures', description: 'MAC addresses that found no room.' },
  ],
  decisions: [
    {
      id: 1,
      name: 'Learned',
      description: 'Sent to the port where the destination was learned:',
      object: 'port',
    },
    {
      id: 2,
      name: 'StaticEntry',
      description: 'Sent to the port that a static entry names:',
      object: 'port',
    },
    {
      id: 3,
      name: 'Flooded',
      description: 'Sent to all ports of the VLAN that take such frames:',
      object: 'vlan',
    },
  ],
  maps: [
    {
      name: 'fdb',
      class: 'state',
      key: 'VLAN and MAC address',
      value: 'port, time when last seen',
      writer: 'program',
      description: 'Learned addresses. Forgotten when the set of ports changes.',
    },
    {
      name: 'fdb_static',
      class: 'config',
      key: 'VLAN and MAC address',
      value: 'port',
      writer: 'agent',
      description: 'Static entries.',
    },
    {
      name: 'vlans',
      class: 'config',
      key: 'number of the VLAN',
      value: 'a bit for each port in it; a bit for each of them that its frames leave without a tag',
      writer: 'agent',
      description: 'Members of each VLAN.',
    },
    {
      name: 'storm_limits',
      class: 'config',
      key: 'port and kind of frame',
      value: 'interval and tolerance',
      writer: 'agent',
      description: 'Limits on frames to be flooded.',
    },
    {
      name: 'storm_buckets',
      class: 'config',
      key: 'port and kind of frame',
      value: 'time at which the bucket is full again',
      writer: 'program',
      description: 'Token buckets of those limits.',
    },
  ],
};
