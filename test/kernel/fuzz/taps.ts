// SPDX-License-Identifier: Apache-2.0
/** What interfaces send: behind the program that cuts copies, as the agent attaches it, one that notes them. */
import { type BpfObject, loadObject, TcxLink } from '../../../src/dataplane/kernel/addon/index.ts';
import { type Chain, objectPath, u32 } from '../support/chain.ts';

export interface Copy {
  readonly ifindex: number;
  readonly frame: Buffer;
}

/** Frames of test/kernel/fixtures/catcher.bpf.c since it was attached. */
export class Catcher {
  readonly #object: BpfObject;
  #seen = 0;

  constructor(object: BpfObject) {
    this.#object = object;
  }

  /** Frames since the last call. */
  take(): Copy[] {
    const count = this.#object.map('caught_count').lookup(u32(0))?.readUInt32LE(0) ?? 0;
    const frames: Copy[] = [];
    for (; this.#seen < count; this.#seen++) {
      const value = this.#object.map('caught').lookup(u32(this.#seen % 4)) ?? Buffer.alloc(8);
      frames.push({ ifindex: value.readUInt32LE(0), frame: value.subarray(8, 8 + value.readUInt32LE(4)) });
    }
    return frames;
  }

  close(): void {
    this.#object.close();
  }
}

/** Attachments that stay over many chains: to make and to end them, the kernel waits for all CPUs. */
export class Taps {
  readonly #ifindexes: readonly number[];
  readonly #cutters: TcxLink[] = [];
  readonly #catchers: TcxLink[] = [];

  constructor(ifindexes: readonly number[]) {
    this.#ifindexes = ifindexes;
  }

  /** Lets them serve this chain, whose work area the catcher does to what the way of a copy may do. */
  async attach(chain: Chain): Promise<Catcher> {
    const object = await loadObject({
      path: objectPath('catcher'),
      reuseMaps: { work: chain.shared('work') },
    });
    const program = object.program('catcher');
    if (this.#catchers.length > 0) {
      for (const link of this.#catchers) link.update(program);
      return new Catcher(object);
    }
    for (const ifindex of this.#ifindexes) {
      this.#cutters.push(TcxLink.create(chain.copies, ifindex, 'egress'));
      this.#catchers.push(TcxLink.create(program, ifindex, 'egress'));
    }
    return new Catcher(object);
  }

  close(): void {
    for (const link of [...this.#catchers, ...this.#cutters]) link.close();
  }
}
