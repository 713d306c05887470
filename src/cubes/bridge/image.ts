// SPDX-License-Identifier: Apache-2.0

/** What the maps of one bridge should hold. All of it follows from the spec, so a change of it is a new instance. */
import type { Bridge } from '../../api/generated/types.ts';
import { ArrayRows } from '../array-rows.ts';
import type { CubeImage, CubeInput, ImageChange, Problem } from '../cube-type.ts';
import { PackedTable } from '../packed-table.ts';
import { desired, type StaticRow } from './desired.ts';
import { fdbStatic, stormLimits, vlans } from './generated/codec.ts';

export class BridgeImage implements CubeImage {
  readonly #statics = new PackedTable(
    fdbStatic.name,
    fdbStatic.keySize,
    fdbStatic.valueSize,
    fdbStatic.maxEntries,
  );
  readonly #rows: readonly StaticRow[];
  readonly #ports: ReadonlyMap<number, string>;
  readonly #vlans = new ArrayRows(vlans.name, vlans.maxEntries, vlans.valueSize);
  readonly #limits = new ArrayRows(stormLimits.name, stormLimits.maxEntries, stormLimits.valueSize);

  constructor(cube: CubeInput<Bridge>) {
    const rows = desired(cube);
    this.#rows = rows.statics;
    this.#ports = new Map(cube.ports.map(({ id, name }) => [id, `port ${name}`]));
    for (const [id, row] of rows.vlans) {
      const value = new Uint8Array(vlans.valueSize);
      vlans.encodeValue(row, value);
      this.#vlans.set(id, value);
    }
    for (const [index, row] of rows.limits) {
      const value = new Uint8Array(stormLimits.valueSize);
      stormLimits.encodeValue(row, value);
      this.#limits.set(index, value);
    }
  }

  adopt(map: string, count: number, keys: Uint8Array, values: Uint8Array): void {
    const tables: Record<string, PackedTable | ArrayRows> = {
      [fdbStatic.name]: this.#statics,
      [vlans.name]: this.#vlans,
      [stormLimits.name]: this.#limits,
    };
    const table = tables[map];
    if (!table) throw new Error(`a bridge has no map ${map} whose rows could be taken over`);
    table.adopt(count, keys, values);
  }

  setTable(): readonly Problem[] {
    return [];
  }

  /** After rows were adopted: what they are not told to keep goes. */
  settle(): void {
    for (const { key, port } of this.#rows) {
      const bytes = new Uint8Array(fdbStatic.keySize);
      const value = new Uint8Array(fdbStatic.valueSize);
      fdbStatic.encodeKey(key, bytes);
      fdbStatic.encodeValue(port, value);
      this.#statics.set(bytes, value);
    }
    this.#statics.settle();
  }

  tick(): undefined {
    return undefined;
  }

  take(): ImageChange {
    const { updates, deletes } = this.#statics.take();
    return { writes: [...updates, ...this.#limits.take(), ...this.#vlans.take()], afterGrace: deletes };
  }

  nameObject(kind: string, id: bigint): string | undefined {
    return kind === 'vlan' ? `VLAN ${id}` : this.#ports.get(Number(id));
  }

  usage(): Readonly<Record<string, { readonly used: number; readonly max: number }>> {
    return { [fdbStatic.name]: { used: this.#statics.size, max: fdbStatic.maxEntries } };
  }
}
