// SPDX-License-Identifier: Apache-2.0

/** What the maps of one NAT should hold: all of it follows from the spec, so it is written once, before the flip. */
import type { Nat } from '../../api/generated/types.ts';
import { ArrayRows } from '../array-rows.ts';
import type { CubeImage, CubeInput, ImageChange, Problem } from '../cube-type.ts';
import { PackedTable } from '../packed-table.ts';
import { desired } from './desired.ts';
import { forwardRules, matches, pool, sourceRules } from './generated/codec.ts';
import type { MatchRow } from './match-table.ts';

interface ValueCodec<V> {
  readonly valueSize: number;
  encodeValue(value: V, bytes: Uint8Array): void;
}

function encode<V>(codec: ValueCodec<V>, value: V): Uint8Array {
  const bytes = new Uint8Array(codec.valueSize);
  codec.encodeValue(value, bytes);
  return bytes;
}

export class NatImage implements CubeImage {
  readonly #matches = new PackedTable(matches.name, matches.keySize, matches.valueSize, matches.maxEntries);
  readonly #arrays = [sourceRules, forwardRules, pool].map(
    ({ name, maxEntries, valueSize }) => [name, new ArrayRows(name, maxEntries, valueSize)] as const,
  );
  readonly #used: Readonly<Record<string, number>>;
  readonly #spec: Nat;
  /** Rows of matches until they are placed: after the kernel's own have been adopted. */
  #wanted: readonly MatchRow[];

  constructor(cube: Pick<CubeInput<Nat>, 'spec' | 'ports'>) {
    const wanted = desired(cube);
    this.#spec = cube.spec;
    this.#wanted = wanted.matches;
    const fill = <V>(codec: ValueCodec<V> & { name: string }, rows: readonly V[]) => {
      const array = this.#arrays.find(([name]) => name === codec.name)?.[1];
      rows.forEach((row, i) => {
        array?.set(i, encode(codec, row));
      });
    };
    fill(sourceRules, wanted.sourceRules);
    fill(forwardRules, wanted.forwardRules);
    fill<string | Uint8Array>(pool, wanted.pool);
    this.#used = {
      [sourceRules.name]: wanted.sourceRules.length,
      [forwardRules.name]: wanted.forwardRules.length,
      [pool.name]: wanted.pool.length,
    };
  }

  adopt(map: string, count: number, keys: Uint8Array, values: Uint8Array): void {
    const array = this.#arrays.find(([name]) => name === map)?.[1];
    if (array) array.adopt(count, keys, values);
    else if (map === matches.name) this.#matches.adopt(count, keys, values);
    else throw new Error(`a NAT has no map ${map} whose rows could be taken over`);
  }

  setTable(): readonly Problem[] {
    return [];
  }

  #place(): void {
    for (const { key, value } of this.#wanted) {
      const bytes = new Uint8Array(matches.keySize);
      matches.encodeKey(key, bytes);
      this.#matches.set(bytes, encode(matches, value));
    }
    this.#wanted = [];
  }

  settle(): void {
    this.#place();
    this.#matches.settle();
  }

  tick(): undefined {
    return undefined;
  }

  take(): ImageChange {
    this.#place();
    const rows = this.#matches.take();
    return {
      writes: [...this.#arrays.flatMap(([, array]) => array.take()), ...rows.updates],
      afterGrace: rows.deletes,
    };
  }

  usage(): Readonly<Record<string, { readonly used: number; readonly max: number }>> {
    this.#place();
    const arrays = [sourceRules, forwardRules, pool].map(({ name, maxEntries }) => [
      name,
      { used: this.#used[name] ?? 0, max: maxEntries },
    ]);
    return {
      [matches.name]: { used: this.#matches.size, max: matches.maxEntries },
      ...Object.fromEntries(arrays),
    };
  }

  nameObject(kind: string, id: bigint): string | undefined {
    const i = Number(id);
    const source = this.#spec.sourceRules[i];
    const forward = this.#spec.forwardRules[i];
    if (kind === 'sourceRule') return source && `sourceRules[${i}] (${source.type})`;
    if (kind !== 'forwardRule' || !forward) return undefined;
    const { address, port } = forward.target;
    return `forwardRules[${i}] to ${address}${port === undefined ? '' : ` port ${port}`}`;
  }
}
