// SPDX-License-Identifier: Apache-2.0
/** Prometheus' text format (version 0.0.4) of what the agent of a node knows. Pure. */
import type { AgentHealth } from '../agent-health.ts';
import type { CubeCount, NodeCounters } from './counters.ts';
import type { TableInfo, TablePage } from './tables.ts';

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [labels: Labels, value: number];

/** What objects of a cube decided or got: packets and bytes, as the rules of a firewall, or sessions, as backends. */
export interface ObjectCount {
  readonly cube: string;
  /** Kind of object, as `rule`. */
  readonly kind: string;
  readonly object: string;
  readonly packets?: number;
  readonly bytes?: number;
  readonly sessions?: number;
}

export interface ProcessFacts {
  /** Seconds of CPU time. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  /** Unix time in seconds. */
  readonly startTime: number;
}

/** `\`, `"` and line ends, as the format asks. */
function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function line(name: string, [labels, value]: Sample): string {
  const list = Object.entries(labels).map(([key, text]) => `${key}="${escapeLabel(text)}"`);
  return `${name}${list.length === 0 ? '' : `{${list.join(',')}}`} ${value}`;
}

class Page {
  readonly #lines: string[] = [];

  /** A metric without samples is left out: nothing of its kind is on this node. */
  add(name: string, type: 'counter' | 'gauge', help: string, samples: readonly Sample[]): void {
    if (samples.length === 0) return;
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const sample of samples) this.#lines.push(line(name, sample));
  }

  get text(): string {
    return `${this.#lines.join('\n')}\n`;
  }
}

export function metricsText(
  health: AgentHealth,
  counters: NodeCounters | undefined,
  objects: readonly ObjectCount[],
  facts: ProcessFacts,
): string {
  const page = new Page();
  agentMetrics(page, health, facts);
  if (counters !== undefined) {
    entryMetrics(page, counters);
    cubeMetrics(page, counters.cubes);
    mapMetrics(page, counters);
    objectMetrics(page, objects);
  }
  return page.text;
}

function agentMetrics(page: Page, health: AgentHealth, facts: ProcessFacts): void {
  const { node, version, source } = health;
  const one = (name: string, help: string, value: number, type: 'gauge' | 'counter' = 'gauge') =>
    page.add(name, type, help, [[{}, value]]);
  page.add('cubeplane_agent_info', 'gauge', 'Which agent this is; always 1.', [
    [{ node, version, source }, 1],
  ]);
  one('cubeplane_agent_synced', 'Whether all objects of the source have been seen.', health.synced ? 1 : 0);
  one(
    'cubeplane_agent_restored',
    'Whether the node, started anew, runs on tables saved on its disk.',
    health.restored === undefined ? 0 : 1,
  );
  one('cubeplane_agent_failing', 'Whether the last round failed.', health.failure === undefined ? 0 : 1);
  one(
    'cubeplane_agent_rounds_total',
    'Times that the kernel was compared with the objects.',
    health.rounds,
    'counter',
  );
  one('cubeplane_agent_cubes', 'Cubes that run on the node.', health.cubes);
  one('cubeplane_agent_pods', 'Pods that are plugged on the node.', health.pods);
  one('cubeplane_agent_tables', 'CubeTables that the agent holds.', health.tables);
  one(
    'cubeplane_agent_waiting_chains',
    'Chains whose newest revision is not in force.',
    Object.keys(health.waiting).length,
  );
  const { afterwork } = health;
  page.add(
    'cubeplane_cni_afterwork',
    'gauge',
    'What CNI calls have left for later: deletions of pairs, links of new pods.',
    afterwork === undefined
      ? []
      : [
          [{ work: 'delete' }, afterwork.idle],
          [{ work: 'link' }, afterwork.unsettled],
        ],
  );
  page.add(
    'cubeplane_slow_path_records_total',
    'counter',
    'Packets and log records that cubes handed to the agent, by what became of them.',
    Object.entries(health.slowPath).map(([outcome, value]) => [{ outcome }, value]),
  );
  one('process_cpu_seconds_total', 'CPU time of the agent.', facts.cpuSeconds, 'counter');
  one('process_resident_memory_bytes', 'Memory of the agent.', facts.residentBytes);
  one('process_start_time_seconds', 'When the agent started, in Unix time.', facts.startTime);
}

function entryMetrics(page: Page, { drops, attachments, flowCache }: NodeCounters): void {
  const each = (value: (one: NodeCounters['attachments'][number]) => number): Sample[] =>
    attachments.map((one) => [{ interface: one.interface, kind: one.kind }, value(one)]);
  page.add(
    'cubeplane_interface_receive_packets_total',
    'counter',
    'Packets that came in at an interface of a chain.',
    each(({ packets }) => packets),
  );
  page.add(
    'cubeplane_interface_receive_bytes_total',
    'counter',
    'Bytes that came in at an interface of a chain.',
    each(({ bytes }) => bytes),
  );
  page.add(
    'cubeplane_interface_receive_drops_total',
    'counter',
    'Packets refused before the first cube, by interface.',
    each(({ drops: count }) => count),
  );
  page.add(
    'cubeplane_entry_drops_total',
    'counter',
    'Packets refused before the first cube, by reason.',
    drops.map(({ reason, packets }) => [{ reason }, packets]),
  );
  page.add(
    'cubeplane_flow_cache_packets_total',
    'counter',
    'Packets that fared as the last one of their flow, without a cube being asked.',
    [[{}, flowCache.replayed]],
  );
  page.add('cubeplane_flow_cache_records_total', 'counter', 'What was noted of flows for that.', [
    [{}, flowCache.kept],
  ]);
}

/** `namespace/name` in two labels. */
function cubeLabels(key: string): Labels {
  const at = key.indexOf('/');
  return { namespace: key.slice(0, at), cube: key.slice(at + 1) };
}

function cubeMetrics(page: Page, cubes: readonly CubeCount[]): void {
  const ports = (value: (port: CubeCount['ports'][number]) => number): Sample[] =>
    cubes.flatMap(({ cube, ports: list }) =>
      list.map((port): Sample => [{ ...cubeLabels(cube), port: port.port }, value(port)]),
    );
  page.add(
    'cubeplane_cube_info',
    'gauge',
    'The cubes of the node; always 1.',
    cubes.map(({ cube, type }) => [{ ...cubeLabels(cube), type }, 1]),
  );
  page.add(
    'cubeplane_port_receive_packets_total',
    'counter',
    'Packets that a cube got by a port.',
    ports(({ rxPackets }) => rxPackets),
  );
  page.add(
    'cubeplane_port_receive_bytes_total',
    'counter',
    'Bytes that a cube got by a port.',
    ports(({ rxBytes }) => rxBytes),
  );
  page.add(
    'cubeplane_port_transmit_packets_total',
    'counter',
    'Packets that a cube sent by a port.',
    ports(({ txPackets }) => txPackets),
  );
  page.add(
    'cubeplane_port_transmit_bytes_total',
    'counter',
    'Bytes that a cube sent by a port.',
    ports(({ txBytes }) => txBytes),
  );
  page.add(
    'cubeplane_cube_drops_total',
    'counter',
    'Packets that a cube dropped, by reason.',
    cubes.flatMap(({ cube, drops }) =>
      drops.map(({ reason, packets }): Sample => [{ ...cubeLabels(cube), reason }, packets]),
    ),
  );
  page.add(
    'cubeplane_cube_events_total',
    'counter',
    'What a cube counts of its own, by the names of its reference page.',
    cubes.flatMap(({ cube, counters }) =>
      counters.map(({ name, value }): Sample => [{ ...cubeLabels(cube), event: name }, value]),
    ),
  );
}

function mapMetrics(page: Page, { maps }: NodeCounters): void {
  const each = (value: (one: NodeCounters['maps'][number]) => number): Sample[] =>
    maps.map((one) => [
      { ...(one.cube === '' ? { namespace: '', cube: '' } : cubeLabels(one.cube)), map: one.map },
      value(one),
    ]);
  page.add(
    'cubeplane_map_entries',
    'gauge',
    'Rows of a map; without a cube it is of the node.',
    each(({ used }) => used),
  );
  page.add(
    'cubeplane_map_max_entries',
    'gauge',
    'Rows that a map can hold.',
    each(({ max }) => max),
  );
}

function objectMetrics(page: Page, objects: readonly ObjectCount[]): void {
  const each = (value: (one: ObjectCount) => number | undefined): Sample[] =>
    objects.flatMap((one): Sample[] => {
      const count = value(one);
      const labels = { ...cubeLabels(one.cube), kind: one.kind, object: one.object };
      return count === undefined ? [] : [[labels, count]];
    });
  page.add(
    'cubeplane_object_packets_total',
    'counter',
    'Packets that an object of a cube decided, as a rule.',
    each(({ packets }) => packets),
  );
  page.add(
    'cubeplane_object_bytes_total',
    'counter',
    'Bytes of these packets.',
    each(({ bytes }) => bytes),
  );
  page.add(
    'cubeplane_object_sessions_total',
    'counter',
    'New sessions that an object of a cube got, as a backend.',
    each(({ sessions }) => sessions),
  );
}

/** Rows of a table whose key is an object and whose values are packets and bytes, or sessions. */
export function objectCounts(
  { cube }: Pick<TableInfo, 'cube'>,
  kind: string,
  { rows }: Pick<TablePage, 'rows'>,
): ObjectCount[] {
  return rows.flatMap((row): ObjectCount[] => {
    const { packets, bytes, sessions, key } = row;
    const object = { cube, kind, object: String(row[kind] ?? key) };
    if (typeof sessions === 'number') return [{ ...object, sessions }];
    if (typeof packets !== 'number' || typeof bytes !== 'number') return [];
    return [{ ...object, packets, bytes }];
  });
}
