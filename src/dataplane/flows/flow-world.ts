// SPDX-License-Identifier: Apache-2.0
/** Who is at which address, for the flow log. */
import type { Identity } from '../../api/generated/types.ts';
import { monotonic } from '../images.ts';
import { hostAddresses } from '../kernel/netlink.ts';
import { decodeAddress } from '../layout.ts';
import type { PodRecord } from '../pod-record.ts';
import type { Reconciler } from '../reconciler.ts';
import { type PackedTable, unpack } from '../tables.ts';
import { traceNames } from '../trace/names.ts';
import type { FlowNames } from './flow-record.ts';

/** What changes with other nodes and their pods is looked up anew so often. */
const FRESH_MS = 1000;

/** Tables in force. */
export interface FlowTables {
  readonly applied: ReadonlyMap<string, PackedTable>;
}

interface Elsewhere {
  readonly nodes: ReadonlySet<string>;
  readonly namespaces: ReadonlyMap<string, string>;
}

export class FlowWorld {
  readonly #node: string;
  readonly #reconciler: Reconciler;
  readonly #pods: { values(): Iterable<PodRecord> };
  readonly #tables: FlowTables;
  #elsewhere: Elsewhere = { nodes: new Set(), namespaces: new Map() };
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(
    node: string,
    reconciler: Reconciler,
    pods: { values(): Iterable<PodRecord> },
    tables: FlowTables,
  ) {
    this.#node = node;
    this.#reconciler = reconciler;
    this.#pods = pods;
    this.#tables = tables;
  }

  names(): FlowNames {
    const { running, network, inForce } = this.#reconciler;
    const now = monotonic();
    if (now - this.#lookedAt >= FRESH_MS) {
      this.#lookedAt = now;
      const nodes = new Set([...inForce.sources.rows.values()].map(decodeAddress));
      this.#elsewhere = { nodes, namespaces: namespacesOf(this.#tables.applied.values()) };
    }
    const own = new Set(hostAddresses(network));
    const { nodes, namespaces } = this.#elsewhere;
    return {
      ...traceNames(running.values(), network.interfaces, this.#pods.values()),
      node: this.#node,
      isOwn: (address) => own.has(address),
      isOtherNode: (address) => nodes.has(address),
      namespaceAt: (address) => namespaces.get(address),
    };
  }
}

/** Address of a pod → its namespace, by the tables that policies look at. */
export function namespacesOf(tables: Iterable<PackedTable>): Map<string, string> {
  const found = new Map<string, string>();
  for (const table of tables) {
    if (table.type !== 'Identity') continue;
    for (const { namespace, addresses = [] } of unpack(table) as Identity[])
      for (const address of addresses) found.set(address, namespace);
  }
  return found;
}
