// SPDX-License-Identifier: Apache-2.0
import { type BpfMap, type BpfObject, loadObject } from '../../src/dataplane/kernel/addon/index.ts';
import { objectPath, u32 } from '../kernel/support/chain.ts';

const HOPS = 8;
const CALLS = 16;

/**
 * What a tail call and a call of a kernel function cost here, apart from anything of ours: a few ns on a processor that
 * needs no mitigation for returns and indirect jumps, several times as much on one that does.
 */
export class Calibration {
  readonly #objects: readonly BpfObject[];
  readonly #nextPlace: BpfMap;

  private constructor(objects: readonly BpfObject[], nextPlace: BpfMap) {
    this.#objects = objects;
    this.#nextPlace = nextPlace;
  }

  static async open(): Promise<Calibration> {
    const path = objectPath('calibrate');
    const first = await loadObject({ path, variables: { place: u32(1) } });
    const objects = [first];
    const reuseMaps = { next_place: first.map('next_place'), places: first.map('places') };
    for (let place = 2; place <= HOPS; place++)
      objects.push(await loadObject({ path, reuseMaps, variables: { place: u32(place) } }));
    objects.forEach((object, index) => {
      first.map('places').setProgram(index + 1, object.program('hop'));
    });
    return new Calibration(objects, first.map('next_place'));
  }

  /** ns of one hop more: an array lookup and a tail call. */
  hop(dataIn: Uint8Array, repeat: number): number {
    const time = (length: number): number => {
      for (let place = 1; place <= HOPS; place++)
        this.#nextPlace.update(u32(place), u32(place < length ? place + 1 : 0));
      return this.#run('hop', dataIn, repeat);
    };
    return (time(HOPS) - time(1)) / (HOPS - 1);
  }

  /** ns of one call of a kernel function that does next to nothing. */
  call(dataIn: Uint8Array, repeat: number): number {
    this.#nextPlace.update(u32(1), u32(0));
    return (this.#run('calls', dataIn, repeat) - this.#run('hop', dataIn, repeat)) / CALLS;
  }

  #run(program: string, dataIn: Uint8Array, repeat: number): number {
    return (this.#objects[0] as BpfObject).program(program).testRun({ dataIn, repeat }).duration;
  }

  close(): void {
    for (const object of this.#objects) object.close();
  }
}
