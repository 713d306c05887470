// SPDX-License-Identifier: Apache-2.0

/**
 * Rows of the map `services`: addresses and ports on which clients from outside reach Services. A set, each row held by as many
 * frontends as name it; which backend a client gets, and whether it may, is a matter of the LoadBalancer behind the NAT.
 */
import type { Service } from '../../api/generated/types.ts';
import type { MapWrite, Problem } from '../cube-type.ts';
import { addressesOn, followsNode } from '../node-ports.ts';
import { PackedTable } from '../packed-table.ts';
import { PROTOCOLS } from './common.ts';
import { services as codec } from './generated/codec.ts';

interface Held {
  /** Keys of rows, each once. */
  readonly keys: readonly Uint8Array[];
  /** Kept where the addresses of the node decide. */
  readonly rows: readonly Service[] | undefined;
}

export class OutsideServices {
  readonly table: PackedTable;
  readonly #held = new Map<string, Held>();
  /** How many tables hold a row. */
  readonly #holders: number[] = [];
  readonly #value: Uint8Array;
  #node: readonly string[];

  /** @param node addresses of the node, without length. */
  constructor(max: number, node: readonly string[]) {
    this.table = new PackedTable(codec.name, codec.keySize, codec.valueSize, max);
    this.#value = new Uint8Array(codec.valueSize);
    codec.encodeValue(1, this.#value);
    this.#node = node;
  }

  /** What a CubeTable of Services contributes, or that it is gone. */
  set(table: string, services: readonly Service[] | undefined): readonly Problem[] {
    const before = this.#held.get(table);
    const problems = services === undefined ? [] : this.#hold(table, services);
    if (services === undefined) this.#held.delete(table);
    for (const key of before?.keys ?? []) this.#release(key);
    return problems;
  }

  /** The addresses of the node are others now. */
  setNode(addresses: readonly string[]): void {
    if (addresses.join() === this.#node.join()) return;
    this.#node = addresses;
    for (const [table, { rows }] of [...this.#held]) if (rows !== undefined) this.set(table, rows);
  }

  #hold(table: string, services: readonly Service[]): readonly Problem[] {
    const problems: Problem[] = [];
    const keys = new Map<string, Uint8Array>();
    for (const service of services) {
      let missing = 0;
      for (const frontend of service.frontends) {
        if (frontend.scope === 'ClusterIP') continue;
        for (const addr of addressesOn(frontend, service, this.#node)) {
          const key = new Uint8Array(codec.keySize);
          codec.encodeKey({ addr, port: frontend.port, proto: PROTOCOLS[frontend.protocol][0] }, key);
          if (keys.has(key.join())) continue;
          if (this.#take(key)) keys.set(key.join(), key);
          else missing++;
        }
      }
      if (missing > 0) problems.push(full(service, missing, this.table.max));
    }
    const follows = services.some(({ frontends }) => frontends.some(followsNode));
    this.#held.set(table, { keys: [...keys.values()], rows: follows ? services : undefined });
    return problems;
  }

  #take(key: Uint8Array): boolean {
    const row = this.table.set(key, this.#value);
    if (row >= 0) this.#holders[row] = (this.#holders[row] ?? 0) + 1;
    return row >= 0;
  }

  #release(key: Uint8Array): void {
    const row = this.table.row(key);
    const left = (this.#holders[row] ?? 0) - 1;
    this.#holders[row] = left;
    if (left === 0) this.table.deleteRow(row);
  }

  take(): { readonly updates: readonly MapWrite[]; readonly deletes: readonly MapWrite[] } {
    return this.table.take();
  }
}

function full({ namespace, name }: Service, missing: number, max: number): Problem {
  return {
    reason: 'MapFull',
    field: 'spec.nat.maxServices',
    message: `Service ${namespace}/${name}: there is no room for ${missing} of its addresses and ports (maxServices is ${max}), which clients outside do not reach; raise maxServices of the NAT`,
  };
}
