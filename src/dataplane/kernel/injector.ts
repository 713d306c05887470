// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import { INJECT_DEVICES } from '../desired.ts';
import { constants as injectConstants } from '../generated/inject.ts';
import { injectRequest } from '../generated/tcx.ts';
import type { Outgoing } from '../slow-path.ts';
import { type BpfObject, loadObject, TcxLink } from './addon/index.ts';
import { cubeConstants, type NodeConstants } from './cube-constants.ts';
import { readNetwork } from './netlink.ts';
import type { Pins } from './pins.ts';
import { ipBatch } from './run.ts';

const MAGIC = 0x43554249;
const DIRECTION = { in: 0, out: 1 } as const;

/**
 * The way of the agent's own packets into the graph (bpf/entry/inject.bpf.c): a device whose ingress only this process
 * feeds. The device is made when the first packet is sent, and stays; its program goes with the process.
 */
export class Injector {
  readonly #object: BpfObject;
  readonly #link: TcxLink;

  private constructor(object: BpfObject, link: TcxLink) {
    this.#object = object;
    this.#link = link;
  }

  /** Throws AgentError, KernelError. */
  static async open(pins: Pins, objects: string, node: NodeConstants): Promise<Injector> {
    const ifindex = await device();
    const object = await loadObject({
      path: join(objects, 'inject.o'),
      // what ends here is counted with what the entry ends
      reuseMaps: { ...pins.sharedMaps('cube'), drops: pins.sharedMap('entry_drops') },
      variables: {
        cube: cubeConstants(node),
        inject_ifindex: injectConstants.inject_ifindex.encode(ifindex),
      },
    });
    try {
      return new Injector(object, TcxLink.create(object.program('inject_receive'), ifindex, 'ingress'));
    } catch (error) {
      object.close();
      throw error;
    }
  }

  send({ slot, port, direction, packet, metadata = 0n }: Outgoing): void {
    const request = injectRequest.encode({
      metadata,
      magic: MAGIC,
      slot,
      port,
      direction: DIRECTION[direction],
    });
    this.#object.program('inject_send').testRun({ dataIn: Buffer.concat([packet, request]) });
  }

  close(): void {
    this.#link.close();
    this.#object.close();
  }
}

async function device(): Promise<number> {
  const [name, peer] = INJECT_DEVICES;
  const there = (await readNetwork()).interfaces.get(name);
  if (there === undefined) await ipBatch([`link add ${name} type veth peer name ${peer}`]);
  if (there?.up !== true) {
    await ipBatch([`link set ${name} addrgenmode none up`, `link set ${peer} addrgenmode none up`]);
  }
  const made = (await readNetwork()).interfaces.get(name);
  if (made === undefined) throw new Error(`interface ${name} is gone as soon as it was made`);
  return made.ifindex;
}
