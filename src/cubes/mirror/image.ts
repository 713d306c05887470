// SPDX-License-Identifier: Apache-2.0

/** What the maps of one mirror should hold. All of it follows from the spec, so a change of it is a new instance. */
import type { Mirror } from '../../api/generated/types.ts';
import { ArrayRows } from '../array-rows.ts';
import type { CubeImage, CubeInput, ImageChange, Problem } from '../cube-type.ts';
import { desired, ruleName } from './desired.ts';
import { rules } from './generated/codec.ts';

export class MirrorImage implements CubeImage {
  readonly #rules = new ArrayRows(rules.name, rules.maxEntries, rules.valueSize);
  readonly #used: number;
  readonly #names: readonly string[];

  constructor(cube: CubeInput<Mirror>) {
    const { rows } = desired(cube);
    this.#used = rows.length;
    this.#names = cube.spec.rules.map(ruleName);
    for (const [index, row] of rows.entries()) {
      const value = new Uint8Array(rules.valueSize);
      rules.encodeValue(row, value);
      this.#rules.set(index, value);
    }
  }

  adopt(map: string, count: number, keys: Uint8Array, values: Uint8Array): void {
    if (map !== rules.name) throw new Error(`a mirror has no map ${map} whose rows could be taken over`);
    this.#rules.adopt(count, keys, values);
  }

  setTable(): readonly Problem[] {
    return [];
  }

  settle(): void {}

  tick(): undefined {
    return undefined;
  }

  take(): ImageChange {
    return { writes: this.#rules.take(), afterGrace: [] };
  }

  nameObject(_kind: string, id: bigint): string | undefined {
    const name = this.#names[Number(id)];
    return name === undefined ? undefined : `rule ${name}`;
  }

  usage(): Readonly<Record<string, { readonly used: number; readonly max: number }>> {
    return { [rules.name]: { used: this.#used, max: rules.maxEntries } };
  }
}
