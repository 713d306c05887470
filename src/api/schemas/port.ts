// SPDX-License-Identifier: Apache-2.0
/** Ports of a cube and its selection of tables: the same in a Cube and in a template of a chain. */
import {
  choice,
  dnsLabel,
  integer,
  interfaceAddress,
  labelSelector,
  mac,
  mapList,
  object,
  setOf,
} from './build.ts';
import type { Schema } from './schema.ts';

/** Types of tables that a cube can select. */
export const TABLE_TYPES = [
  'Service',
  'Route',
  'Policy',
  'Identity',
  'Rule',
  'Prefix',
  'Limit',
  'Announcement',
] as const;

export const ports: Schema = mapList(
  'Settings of ports. A port that a link names needs an entry only when it has addresses, a MAC or an MTU of its own.',
  ['name'],
  object(
    'Settings of one port.',
    {
      name: dnsLabel('Name of the port.'),
      addresses: setOf(
        "The cube's own addresses on this port, each with the length of the prefix that is reached there, such as 10.244.1.1/24.",
        interfaceAddress('Address with prefix length.'),
        16,
      ),
      mac: mac("The cube's MAC address on this port. Without it the fixed one of the node's cube0."),
      mtu: integer(
        'Largest packet that leaves here. Without it the MTU of what the port is linked to.',
        1280,
        65535,
        {
          unit: 'bytes of IP packet',
        },
      ),
    },
    ['name'],
    { typeName: 'Port' },
  ),
  64,
);

export const tables: Schema = mapList(
  'CubeTables in the same namespace whose rows the cube uses.',
  ['type'],
  object(
    'Which tables of one type.',
    {
      type: choice('Type of the tables.', TABLE_TYPES),
      selector: labelSelector('Labels of the tables. Without a selector all of the type in the namespace.'),
    },
    ['type'],
    { typeName: 'TableSelection' },
  ),
  // no type of cube reads more, and the API server estimates what rules may cost by it
  7,
);
