// SPDX-License-Identifier: Apache-2.0
import type { Running } from './images.ts';
import { Injector } from './kernel/injector.ts';
import type { Pins } from './kernel/pins.ts';
import { PuntRing } from './kernel/punt-ring.ts';
import { GATEWAY_MAC } from './layout.ts';
import type { Punt } from './punt-record.ts';
import type { Outgoing } from './slow-path.ts';

/** The slow path's two ways between programs and agent; either is opened when it is first used. */
export class AgentPackets {
  readonly #pins: Pins;
  readonly #objects: string;
  readonly #redirectPeer: boolean;
  #punts: PuntRing | undefined;
  #injector: Injector | undefined;

  constructor(pins: Pins, objects: string, redirectPeer: boolean) {
    this.#pins = pins;
    this.#objects = objects;
    this.#redirectPeer = redirectPeer;
  }

  /** Tells the listener what programs hand over, from now on. The shared maps must be there. */
  listen(listener: (punts: Punt[]) => void): void {
    this.#punts ??= new PuntRing(this.#pins.sharedMap('punts'), listener);
  }

  /** Sends packets into the graph. Throws AgentError, KernelError. */
  async send(packets: readonly Outgoing[]): Promise<void> {
    if (packets.length === 0) return;
    this.#injector ??= await Injector.open(this.#pins, this.#objects, {
      redirectPeer: this.#redirectPeer,
      gatewayMac: GATEWAY_MAC,
    });
    for (const packet of packets) this.#injector.send(packet);
  }

  /** Sends what images have to send by themselves, after their rows are written. Throws AgentError, KernelError. */
  async sendDue(running: Iterable<Running>): Promise<void> {
    for (const { instance, image } of running) {
      const packets = image.takePackets?.() ?? [];
      await this.send(packets.map((packet) => ({ ...packet, slot: instance.slot })));
    }
  }

  close(): void {
    this.#injector?.close();
    this.#punts?.close();
  }
}
