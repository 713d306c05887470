// SPDX-License-Identifier: Apache-2.0
import type { Identity, Policy } from '../api/generated/types.ts';
import { identityOf } from '../operators/identity.ts';
import { type Relevant, relevantOf, unionOf } from '../operators/relevant.ts';
import { keyOf } from './objects.ts';
import type { PodRecord } from './pod-record.ts';
import { type PackedTable, packOwn, type TableChange, type TableStore, unpack } from './tables.ts';

/**
 * Identities of pods that were plugged here and that the operator's tables do not have yet, as tables of this agent: so a
 * pod's policies are in force before its first packet. The operator writes a pod down once the kubelet has reported its
 * addresses; from then on its tables alone count.
 */
export class PodIdentities {
  readonly #tables: TableStore;
  /** Pods that wait for the operator, by `namespace/name`. */
  readonly #waiting = new Map<string, PodRecord>();
  /** Table of policies → what it looks at. */
  readonly #relevant = new Map<string, Relevant>();
  /** Table of identities that is not ours → its addresses. */
  readonly #written = new Map<string, readonly string[]>();

  constructor(tables: TableStore) {
    this.#tables = tables;
  }

  /** Call {@link follow} afterwards, with what it changes. */
  add(record: PodRecord): void {
    if (record.about === undefined) return;
    const key = keyOf(record);
    this.#waiting.set(key, record);
    const looks = this.#looks();
    if (record.about.isRecorded === true) {
      const left = unwritten(record, this.addresses());
      if (left.length === 0) this.#waiting.delete(key);
      else this.#place(record, left, looks);
      return;
    }
    // What is written of these addresses is of a pod that had them before.
    for (const [table, addresses] of this.#written) {
      const others = addresses.filter((address) => !record.addresses.includes(address));
      if (others.length < addresses.length) this.#written.set(table, others);
    }
    this.#place(record, record.addresses, looks);
  }

  remove(record: Pick<PodRecord, 'namespace' | 'name'>): void {
    const key = keyOf(record);
    this.#waiting.delete(key);
    this.#tables.delete(tableOf(key));
  }

  /** Takes changes of tables in. Those of ours that follow from them are in the store then, to be taken with them. */
  follow(changes: readonly TableChange[]): void {
    let isOther = false;
    for (const { key, before, after } of changes) {
      const type = (after ?? before)?.type;
      if (type === 'Policy') {
        if (after === undefined) this.#relevant.delete(key);
        else this.#relevant.set(key, relevantOf(unpack(after) as Policy[]));
        isOther = true;
      } else if (type === 'Identity' && !(after ?? before)?.isOwn) {
        if (after === undefined) this.#written.delete(key);
        else this.#written.set(key, addressesIn(after));
        isOther = true;
      }
    }
    if (!isOther || this.#waiting.size === 0) return;
    const looks = this.#looks();
    const written = this.addresses();
    for (const record of this.#waiting.values()) {
      const left = unwritten(record, written);
      if (left.length === 0) this.remove(record);
      else this.#place(record, record.about?.isRecorded === true ? left : record.addresses, looks);
    }
  }

  /** Addresses that tables give to pods: of pods that are gone, too, until the operator has heard of it. */
  addresses(): Set<string> {
    return new Set([...this.#written.values()].flat());
  }

  /** Undefined: there is no policy. */
  #looks(): Relevant | undefined {
    return this.#relevant.size === 0 ? undefined : unionOf([...this.#relevant.values()]);
  }

  /** @param addresses of the pod, those for which the row speaks. */
  #place(record: PodRecord, addresses: readonly string[], looks: Relevant | undefined): void {
    const { about } = record;
    const key = keyOf(record);
    const identity = looks && about && identityOf(about.pod, about.namespace, looks);
    const row: Identity[] = identity ? [{ ...identity.row, addresses: [...addresses] }] : [];
    if (row.length === 0) this.#tables.delete(tableOf(key));
    else this.#tables.set(packOwn(tableOf(key), 'Identity', row));
  }
}

/** Addresses of a pod that no table of the operator has. */
function unwritten({ addresses }: PodRecord, written: ReadonlySet<string>): string[] {
  return addresses.filter((address) => !written.has(address));
}

/** No object has such a name. */
function tableOf(pod: string): string {
  return `pod ${pod}`;
}

function addressesIn(table: PackedTable): string[] {
  return (unpack(table) as Identity[]).flatMap(({ addresses }) => addresses ?? []);
}
