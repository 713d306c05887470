// SPDX-License-Identifier: Apache-2.0
/** The agent's own packets into a chain, as its device brings them in. */
import { injectRequest } from '../../../src/dataplane/generated/tcx.ts';
import { type BpfObject, type BpfProgram, loadObject } from '../../../src/dataplane/kernel/addon/index.ts';
import { GATEWAY_MAC, macBytes } from './bytes.ts';
import { type Chain, objectPath, SHARED } from './chain.ts';

const MAGIC = 0x43554249;

export class TestInjector {
  readonly #object: BpfObject;

  private constructor(object: BpfObject) {
    this.#object = object;
  }

  static async open(chain: Chain): Promise<TestInjector> {
    const constants = Buffer.alloc(16);
    constants.set(macBytes(GATEWAY_MAC), 8);
    const object = await loadObject({
      path: objectPath('inject'),
      reuseMaps: {
        ...Object.fromEntries(SHARED.map((name) => [name, chain.shared(name)])),
        drops: chain.shared('entry_drops'),
      },
      variables: { cube: constants },
    });
    return new TestInjector(object);
  }

  /** What takes a packet with its {@link request} behind it. */
  get program(): BpfProgram {
    return this.#object.program('inject_receive');
  }

  /** The packet for the cube of the slot, which gets it by the port. */
  request(packet: Uint8Array, to: { slot: number; port: number; metadata: bigint }): Buffer {
    return Buffer.concat([packet, injectRequest.encode({ ...to, magic: MAGIC, direction: 0 })]);
  }

  close(): void {
    this.#object.close();
  }
}
