// SPDX-License-Identifier: Apache-2.0

/**
 * What the maps of one NAT should hold. Rules follow from the spec and are written once, before the flip; where it discriminates,
 * Services and announced addresses come and go.
 */
import type { Announcement, Nat, Service } from '../../api/generated/types.ts';
import { ArrayRows } from '../array-rows.ts';
import type { CubeImage, CubeInput, ImageChange, NodeInput, Problem, TableSlice } from '../cube-type.ts';
import { PackedTable } from '../packed-table.ts';
import { Announced } from './announced.ts';
import { desired } from './desired.ts';
import { forwardRules, matches, pool, sourceRules } from './generated/codec.ts';
import type { MatchRow } from './match-table.ts';
import { OutsideServices } from './services.ts';

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
  readonly #services: OutsideServices;
  readonly #cube: Pick<CubeInput<Nat>, 'spec' | 'ports'>;
  readonly #announced: Announced;
  /** Rows of matches while no address is announced. */
  readonly #ownMatches: readonly MatchRow[];
  /** Table → type of its rows. */
  readonly #types = new Map<string, string>();
  /** Rows of matches are still to be placed: not before the kernel's own have been adopted, and once for many tables. */
  #isUnplaced = true;
  /** Keys of the rows that are placed, by their text. */
  #placed = new Map<string, Uint8Array>();

  constructor(
    cube: Pick<CubeInput<Nat>, 'spec' | 'ports'>,
    { name, addresses }: Pick<NodeInput, 'name' | 'addresses'>,
  ) {
    const wanted = desired(cube);
    this.#cube = cube;
    this.#spec = cube.spec;
    this.#services = new OutsideServices(cube.spec.maxServices, addresses);
    this.#announced = new Announced(name);
    this.#ownMatches = wanted.matches;
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
    else if (map === this.#services.table.map) this.#services.table.adopt(count, keys, values);
    else throw new Error(`a NAT has no map ${map} whose rows could be taken over`);
  }

  setTable(
    key: string,
    rows: readonly unknown[] | undefined,
    _slice?: TableSlice,
    type = 'Service',
  ): readonly Problem[] {
    const of = rows === undefined ? (this.#types.get(key) ?? type) : type;
    if (rows === undefined) this.#types.delete(key);
    else this.#types.set(key, of);
    if (this.#spec.role === 'Discriminator' && of === 'Announcement')
      return this.#announce(key, rows as readonly Announcement[] | undefined);
    if (this.#spec.role === 'Discriminator')
      return this.#services.set(key, rows as readonly Service[] | undefined);
    if (rows === undefined) return [];
    return [
      {
        reason: 'TableUnused',
        field: 'spec.tables',
        message: `CubeTable ${key} is selected, but only a NAT of role Discriminator looks at ${of}s; set nat.role, or remove tables`,
      },
    ];
  }

  #announce(key: string, rows: readonly Announcement[] | undefined): readonly Problem[] {
    this.#isUnplaced = true;
    return this.#announced.set(key, rows);
  }

  announced(): { readonly port: string; readonly addresses: readonly string[] } {
    return { port: 'outside', addresses: this.#announced.addresses };
  }

  setNode({ addresses }: NodeInput): void {
    this.#services.setNode(addresses);
  }

  #place(): void {
    if (!this.#isUnplaced) return;
    const placed = new Map<string, Uint8Array>();
    const { addresses } = this.#announced;
    const rows = addresses.length === 0 ? this.#ownMatches : desired(this.#cube, addresses).matches;
    for (const { key, value } of rows) {
      const bytes = new Uint8Array(matches.keySize);
      matches.encodeKey(key, bytes);
      this.#matches.set(bytes, encode(matches, value));
      placed.set(bytes.join(), bytes);
    }
    for (const [text, key] of this.#placed) if (!placed.has(text)) this.#matches.delete(key);
    this.#placed = placed;
    this.#isUnplaced = false;
  }

  settle(): void {
    this.#place();
    this.#matches.settle();
    this.#services.table.settle();
  }

  tick(): undefined {
    return undefined;
  }

  take(): ImageChange {
    this.#place();
    const rows = this.#matches.take();
    const services = this.#services.take();
    return {
      writes: [
        ...this.#arrays.flatMap(([, array]) => array.take()),
        ...rows.updates,
        ...services.updates,
        ...services.deletes,
      ],
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
      [this.#services.table.map]: { used: this.#services.table.size, max: this.#services.table.max },
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
