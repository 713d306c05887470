// SPDX-License-Identifier: Apache-2.0
import type { AgentLog } from './agent-options.ts';
import type { AgentPackets } from './agent-packets.ts';
import { Announcer, answeredBy, membershipsOf } from './announcer.ts';
import type { Graph } from './graph-model.ts';
import { clock, earlier, type Running } from './images.ts';
import { MulticastGroups } from './kernel/multicast.ts';
import type { LinkInfo } from './kernel/netlink.ts';

/** Lets the neighbours on a link find the addresses that cubes answer for there. */
export class Announcing {
  readonly #announcer = new Announcer();
  readonly #packets: AgentPackets;
  readonly #groups: MulticastGroups;

  constructor(packets: AgentPackets, log: AgentLog) {
    this.#packets = packets;
    this.#groups = new MulticastGroups(log);
  }

  /** Joins groups, sends what is due, and has the cubes called when more is. Throws AgentError, KernelError. */
  async follow(
    running: ReadonlyMap<string, Running>,
    graph: Graph | undefined,
    interfaces: ReadonlyMap<string, LinkInfo>,
  ): Promise<void> {
    const answered = answeredBy(running.values(), graph, interfaces);
    if (!this.#announcer.isFollowed(answered)) await this.#groups.hold(membershipsOf(answered));
    await this.#packets.send(this.#announcer.follow(answered, clock()));
    for (const cube of running.values())
      if (cube.image.announced !== undefined) cube.dueAt = earlier(cube.dueAt, this.#announcer.dueAt);
  }

  close(): void {
    this.#groups.close();
  }
}
