// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import type { Bridge, BridgePort } from '../../api/generated/types.ts';
import type { CubePort } from '../cube-type.ts';
import { desired } from './desired.ts';
import { vlans } from './generated/codec.ts';
import { BridgeImage } from './image.ts';
import { bridge } from './type.ts';

const NODE = { name: 'a', gatewayMac: '02:c0:be:00:00:01', overlayVni: 7, addresses: [], redirectPeer: true };
const DEFAULTS = {
  learning: true,
  isolated: false,
  flood: { broadcast: true, multicast: true, unknownUnicast: true },
};

function cube(ports: readonly Partial<CubePort>[], spec: Partial<Bridge> = {}) {
  return {
    namespace: 'net',
    name: 'bridge',
    uid: 'u',
    spec: { agingSeconds: 300, maxAddresses: 16384, ports: [], staticEntries: [], ...spec },
    ports: ports.map(
      (port, id): CubePort => ({ name: `p${id}`, id, addresses: [], endpoint: 'Interface', ...port }),
    ),
  };
}

const access = (name: string, vlan: number): BridgePort => ({
  name,
  ...DEFAULTS,
  vlan: { type: 'Access', access: { vlan } },
});
const trunk = (name: string, ids: number[], native?: number): BridgePort => ({
  name,
  ...DEFAULTS,
  vlan: {
    type: 'Trunk',
    trunk: { vlans: ids.map((first) => ({ first })), ...(native === undefined ? {} : { native }) },
  },
});

describe('what is refused', () => {
  const problems = (ports: Partial<CubePort>[], spec: Partial<Bridge> = {}) =>
    bridge.check(cube(ports, spec)).map(({ reason, field }) => `${reason} ${field}`);

  test.each(['Pods', 'Overlay', 'Stack'] as const)('a port linked to %s', (endpoint) => {
    expect(problems([{ endpoint }])).toEqual(['NotSupported spec.ports[p0]']);
  });

  test('settings and static entries of a port that is not there', () => {
    const staticEntries = [{ mac: '02:00:00:00:00:01', port: 'y', vlan: 1 }];
    expect(problems([{}], { ports: [access('x', 1)], staticEntries })).toEqual([
      'UnknownPort spec.bridge.ports[0].name',
      'UnknownPort spec.bridge.staticEntries[0].port',
    ]);
  });

  test('a static entry in a VLAN that its port is not in, without a host, or twice', () => {
    const entry = (mac: string, vlan = 1) => ({ mac, port: 'p0', vlan });
    expect(
      problems([{}], {
        staticEntries: [
          entry('02:00:00:00:00:0A', 2),
          entry('00:00:00:00:00:00'),
          entry('02:00:00:00:00:0a'),
          entry('02:00:00:00:00:0A'),
        ],
      }),
    ).toEqual([
      'Invalid spec.bridge.staticEntries[0].vlan',
      'Invalid spec.bridge.staticEntries[1].mac',
      'Invalid spec.bridge.staticEntries[3]',
    ]);
  });
});

test('ports that lead to cubes, and those of them behind which the segment goes on', () => {
  const { settings, problems } = desired(
    cube([{ endpoint: 'Cube', endsSegment: true }, { endpoint: 'Interface' }, { endpoint: 'Cube' }]),
  );
  expect(problems).toEqual([]);
  expect(settings).toMatchObject({ cubes: 0b101n, bridges: 0b100n });
});

test('VLANs become sets of ports', () => {
  const spec = { ports: [access('p0', 10), trunk('p1', [10, 11], 20), trunk('p2', [10])] };
  const { vlans: rows, settings } = desired(cube([{}, {}, {}, {}], spec));
  expect(Object.fromEntries(rows)).toEqual({
    1: { members: 0b1000n, untagged: 0b1000n },
    10: { members: 0b0111n, untagged: 0b0001n },
    11: { members: 0b0010n, untagged: 0n },
    20: { members: 0b0010n, untagged: 0b0010n },
  });
  expect(settings.access).toBe(0b1001n);
  expect(settings.native.slice(0, 4)).toEqual([10, 20, 0, 1]);
});

test('limits of a port stand in place of those of the bridge', () => {
  const limit = { packetsPerSecond: 1000, burst: 11 };
  const { limits, settings } = desired(
    cube([{}, {}, {}], {
      stormControl: { broadcast: limit },
      ports: [
        { name: 'p1', ...DEFAULTS, stormControl: { multicast: limit } },
        { name: 'p2', ...DEFAULTS, stormControl: {} },
      ],
    }),
  );
  const row = { interval: 1_000_000n, tolerance: 10_000_000n };
  expect([...limits]).toEqual([
    [0, row],
    [5, row],
  ]);
  expect(settings.limited).toBe(0b011n);
});

test('the tag of the ports changes with their names and numbers, and with nothing else', () => {
  const tag = (ports: Partial<CubePort>[], spec = {}) => desired(cube(ports, spec)).settings.portsTag;
  expect(tag([{}, {}])).toBe(tag([{ mtu: 9000 }, {}], { agingSeconds: 20 }));
  expect(tag([{}, {}])).not.toBe(tag([{}, {}, {}]));
  expect(tag([{ name: 'a' }, { name: 'b' }])).not.toBe(tag([{ name: 'b' }, { name: 'a' }]));
});

test('an agent that starts again finds nothing to do; rows of nobody go', () => {
  const input = cube([{}, {}], {
    staticEntries: [{ mac: '02:00:00:00:00:01', port: 'p1', vlan: 1 }],
    stormControl: { broadcast: { packetsPerSecond: 10, burst: 1 } },
  });
  const first = new BridgeImage(input);
  first.settle();
  const { writes, afterGrace } = first.take();
  expect(writes.map(({ map, count }) => `${map} ${count}`)).toEqual([
    'fdb_static 1',
    'storm_limits 2',
    `${vlans.name} 1`,
  ]);
  expect(afterGrace).toEqual([]);
  const again = new BridgeImage(input);
  for (const { map, count, keys, values } of writes) again.adopt(map, count, keys, values);
  again.settle();
  const nothing = again.take();
  expect([nothing.writes.length, nothing.afterGrace.length]).toEqual([0, 0]);
  const without = new BridgeImage(cube([{}, {}]));
  for (const { map, count, keys, values } of writes) without.adopt(map, count, keys, values);
  without.settle();
  const change = without.take();
  expect(change.afterGrace).toMatchObject([{ map: 'fdb_static', op: 'delete', count: 1 }]);
  expect(change.writes).toMatchObject([{ map: 'storm_limits', count: 2 }]);
  expect(bridge.instance(input, NODE).sizes).toEqual({ fdb: 16384 });
});
