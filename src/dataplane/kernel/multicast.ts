// SPDX-License-Identifier: Apache-2.0
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { AgentLog } from '../agent-options.ts';
import type { Membership } from '../announcer.ts';
import { textOf } from '../errors.ts';

/** Keeps interfaces in IPv6 multicast groups, as long as this process lives. Nothing is received by it. */
export class MulticastGroups {
  readonly #log: AgentLog;
  readonly #held = new Map<string, Membership>();
  #socket: Socket | undefined;

  constructor(log: AgentLog) {
    this.#log = log;
  }

  /** Joins what is missing and leaves what is not wanted any more. What fails is logged. */
  async hold(memberships: readonly Membership[]): Promise<void> {
    const wanted = new Map(memberships.map((one) => [`${one.group} ${one.ifindex}`, one]));
    if (wanted.size === 0 && this.#held.size === 0) return;
    for (const [key, one] of this.#held) if (!wanted.has(key)) this.#leave(key, one);
    for (const [key, one] of wanted) if (!this.#held.has(key)) await this.#join(key, one);
  }

  async #join(key: string, one: Membership): Promise<void> {
    try {
      const socket = await this.#open();
      socket.addMembership(one.group, `::%${one.interface}`);
    } catch (error) {
      this.#log.warn(
        { group: one.group, interface: one.interface },
        `neighbour discovery may not find an address of a Service: ${textOf(error)}`,
      );
    }
    this.#held.set(key, one);
  }

  #leave(key: string, { group, interface: at }: Membership): void {
    try {
      this.#socket?.dropMembership(group, `::%${at}`);
    } catch {
      // of an interface that is gone nothing is left
    }
    this.#held.delete(key);
  }

  /** Bound to where nobody sends: a socket that is not bound would listen everywhere. */
  async #open(): Promise<Socket> {
    if (this.#socket !== undefined) return this.#socket;
    const socket = createSocket({ type: 'udp6', ipv6Only: true });
    socket.bind({ port: 0, address: '::1', exclusive: true });
    await once(socket, 'listening');
    socket.unref();
    this.#socket = socket;
    return socket;
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.#held.clear();
  }
}
