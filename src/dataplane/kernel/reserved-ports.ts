// SPDX-License-Identifier: Apache-2.0
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentLog } from '../agent-options.ts';
import { textOf } from '../errors.ts';
import { readJson, writeAtomically } from '../files.ts';
import type { Graph } from '../graph-model.ts';
import { formatPorts, joinPorts, type PortRange, parsePorts, planReservation } from '../reserved-ports.ts';
import { sysctlPath } from './sysctl.ts';

/** Of the network namespace that the agent is in; it holds for IPv6, too. */
const SYSCTL = 'net/ipv4/ip_local_reserved_ports';

const RESERVED_PORTS = 'reserved-ports.json';

/**
 * Lets the kernel reserve these ports and no others of ours. What others reserved stays. The file in `stateDir` says what is ours:
 * it is written before the kernel and after, so that a crash between leaves no port that nobody gives back.
 */
export function reservePorts(stateDir: string, wanted: readonly PortRange[]): void {
  const path = join(stateDir, RESERVED_PORTS);
  const ours = parsePorts(oursIn(path));
  if (ours.length === 0 && wanted.length === 0) return;
  const now = parsePorts(readFileSync(sysctlPath(SYSCTL), 'utf8'));
  const plan = planReservation(now, ours, wanted);
  const remember = (ranges: readonly PortRange[]) =>
    writeAtomically(path, `${JSON.stringify({ ports: formatPorts(ranges) })}\n`);
  if (formatPorts(plan.all) !== formatPorts(now)) {
    remember(joinPorts([...ours, ...plan.ours]));
    writeFileSync(sysctlPath(SYSCTL), `${formatPorts(plan.all)}\n`);
  }
  if (plan.ours.length === 0) rmSync(path, { force: true });
  else if (formatPorts(plan.ours) !== oursIn(path)) remember(plan.ours);
}

/** The ports that the cubes of graphs claim. A node whose sysctls cannot be written goes on without. */
export class HeldPorts {
  readonly #stateDir: string;
  readonly #log: AgentLog;
  #inForce: Graph | undefined;

  constructor(stateDir: string, log: AgentLog) {
    this.#stateDir = stateDir;
    this.#log = log;
  }

  /** A graph that is to be in force, before a cube of it claims a port; those of the one in force stay. */
  holdAlso(graph: Graph): void {
    this.#hold(this.#inForce === undefined ? [graph] : [this.#inForce, graph]);
  }

  /** It is in force, and no other one. */
  holdOnly(graph: Graph): void {
    this.#inForce = graph;
    this.#hold([graph]);
  }

  #hold(graphs: readonly Graph[]): void {
    const cubes = graphs.flatMap((graph) => [...graph.cubes.values()]);
    const ports = cubes.flatMap(({ type, input }) => type.reservedPorts?.(input) ?? []);
    try {
      reservePorts(this.#stateDir, ports);
    } catch (error) {
      const remedy = `a process may get a port that a session has: reserve ${formatPorts(ports)} in net.ipv4.ip_local_reserved_ports`;
      this.#log.warn({ error: textOf(error), remedy }, 'ports that cubes claim could not be reserved');
    }
  }
}

function oursIn(path: string): string {
  const { ports = '' } = (readJson(path) ?? {}) as { ports?: string };
  return ports;
}
