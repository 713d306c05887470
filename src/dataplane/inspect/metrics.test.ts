// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { AgentHealth } from '../agent-health.ts';
import type { NodeCounters } from './counters.ts';
import { metricsText, objectCounts } from './metrics.ts';

const HEALTH: AgentHealth = {
  node: 'a',
  source: 'manifests in "/x"',
  version: '1',
  synced: true,
  sourceHealth: { synced: true },
  cubes: 1,
  pods: 2,
  tables: 3,
  rounds: 4,
  waiting: {},
  slowPath: { handled: 6, stale: 0, orphaned: 0, overflowed: 0 },
};
const FACTS = { cpuSeconds: 1.5, residentBytes: 1000, startTime: 7 };
const drop = { reason: 'NoRoute', description: '', remedy: '', packets: 5 };
const COUNTERS: NodeCounters = {
  node: 'a',
  time: 0,
  drops: [{ ...drop, reason: 'Malformed' }],
  attachments: [{ interface: 'eth0', kind: 'Interface', packets: 1, bytes: 2, drops: 3 }],
  cubes: [
    {
      cube: 'net/router.a',
      type: 'Router',
      ports: [{ port: 'up', rxPackets: 10, rxBytes: 20, txPackets: 30, txBytes: 40 }],
      drops: [drop],
      counters: [{ name: 'forwarded', description: '', value: 9 }],
    },
  ],
  flowCache: { replayed: 11, kept: 12 },
  maps: [
    { cube: 'net/router.a', map: 'routes_hash', used: 3, max: 16, isCache: false },
    { cube: '', map: 'pods', used: 1, max: 8, isCache: false },
  ],
};

test('each metric has a help, a type and its samples, with labels escaped', () => {
  const lines = metricsText(HEALTH, COUNTERS, [], FACTS).split('\n');
  const cube = 'namespace="net",cube="router.a"';
  expect(lines).toEqual(
    expect.arrayContaining([
      '# HELP cubeplane_agent_info Which agent this is; always 1.',
      '# TYPE cubeplane_agent_info gauge',
      'cubeplane_agent_info{node="a",version="1",source="manifests in \\"/x\\""} 1',
      'cubeplane_entry_drops_total{reason="Malformed"} 5',
      'cubeplane_flow_cache_packets_total 11',
      'cubeplane_flow_cache_records_total 12',
      'cubeplane_interface_receive_drops_total{interface="eth0",kind="Interface"} 3',
      `cubeplane_port_transmit_bytes_total{${cube},port="up"} 40`,
      `cubeplane_cube_drops_total{${cube},reason="NoRoute"} 5`,
      `cubeplane_cube_events_total{${cube},event="forwarded"} 9`,
      `cubeplane_map_entries{${cube},map="routes_hash"} 3`,
      'cubeplane_map_max_entries{namespace="",cube="",map="pods"} 8',
      'cubeplane_slow_path_records_total{outcome="handled"} 6',
      'process_cpu_seconds_total 1.5',
    ]),
  );
  expect(lines.join()).not.toContain('cni'); // this agent serves no plugin
  const names = lines.filter((line) => line.startsWith('# TYPE'));
  expect(new Set(names).size).toBe(names.length);
});

test('before anything is in the kernel the agent speaks of itself only', () => {
  const afterwork = { idle: 2, unsettled: 1 };
  const failure = { reason: 'X', message: 'y' };
  const text = metricsText({ ...HEALTH, failure, afterwork }, undefined, [], FACTS);
  expect(text).toContain(
    'cubeplane_cni_afterwork{work="delete"} 2\ncubeplane_cni_afterwork{work="link"} 1\n',
  );
  expect(text).toContain('cubeplane_agent_failing 1\n');
  expect(text).not.toContain('cubeplane_port');
});

test('rows that count packets and bytes of an object become metrics of it', () => {
  const rows = [
    { key: 7, rule: 'no-telnet', packets: 3, bytes: 180 },
    { key: 8, packets: 1, bytes: 60 },
    { key: 9, other: 1 },
  ];
  const objects = objectCounts({ cube: 'net/fw' }, 'rule', { rows });
  const text = metricsText(HEALTH, COUNTERS, objects, FACTS);
  const labels = 'namespace="net",cube="fw",kind="rule"';
  expect(text).toContain(`cubeplane_object_packets_total{${labels},object="no-telnet"} 3\n`);
  expect(text).toContain(`cubeplane_object_bytes_total{${labels},object="8"} 60\n`);
  expect(objects).toHaveLength(2);
});

test('rows that count sessions of an object become a metric of it', () => {
  const rows = [{ key: 3, server: '10.244.2.7:8080/TCP', sessions: 12 }];
  const text = metricsText(HEALTH, COUNTERS, objectCounts({ cube: 'net/lb' }, 'server', { rows }), FACTS);
  const labels = 'namespace="net",cube="lb",kind="server",object="10.244.2.7:8080/TCP"';
  expect(text).toContain(`cubeplane_object_sessions_total{${labels}} 12\n`);
  expect(text).not.toContain('cubeplane_object_packets_total');
});
