// SPDX-License-Identifier: Apache-2.0

/** A pod that uses Services, and what the provider has between it and other pods. */
import { POD_MAC } from '../kernel/support/bytes.ts';
import { type ChainCube, u32 } from '../kernel/support/chain.ts';
import { type Ends, type Family, frameOf, sourceOffsets, tupleOf } from './connect.ts';
import { CLIENTS, Rig } from './flows.ts';
import { openBeside, Sender } from './sender.ts';
import { vip } from './service-rows.ts';
import { forgetOpenings, leastOf, NEW_FLOWS, type Traffic, type Way } from './way.ts';

const IDENTITY = 8;

/** LoadBalancer, Firewall with network policies, Router. */
export class FromPod implements Way {
  readonly name = 'load-balancer-policy-router';
  readonly #rig: Rig;
  readonly #firewall: ChainCube;
  readonly #closers: { close(): void }[] = [];

  private constructor(rig: Rig, firewall: ChainCube) {
    this.#rig = rig;
    this.#firewall = firewall;
  }

  static async open(): Promise<FromPod> {
    const rig = await Rig.open({ firewall: true, policies: true });
    if (rig.firewall === undefined) throw new Error('a rig without its firewall');
    return new FromPod(rig, rig.firewall);
  }

  get chain() {
    return this.#rig.chain;
  }

  async traffic(family: Family, count: number): Promise<Traffic[]> {
    const known = await this.#rig.sender(family, this.#rig.establish(family, count));
    if (known.lookups === undefined) throw new Error('requests without their lookups');
    const enter = (): void => this.#rig.fromClient();
    return [
      { name: 'request', way: 'request', sender: known.sender, beside: known.lookups, enter, isNew: false },
      { name: 'new', way: 'request', ...(await this.#openings(family)), enter, isNew: true },
    ];
  }

  /** First packets, three SYNs and one datagram in turn. */
  async #openings(family: Family): Promise<Pick<Traffic, 'sender' | 'beside'>> {
    const packets = Array.from({ length: NEW_FLOWS }, (_, n) => {
      const client: Ends = {
        protocol: n % 4 === 3 ? 'UDP' : 'TCP',
        src: CLIENTS[family],
        dst: vip(family, n),
        sport: 0,
        dport: 80,
      };
      return { frame: frameOf(client, 'S', 100, 0, POD_MAC), keys: [tupleOf(client)] };
    });
    const sender = await Sender.open(packets, { frame: sourceOffsets(family).port, keys: [32] });
    this.#closers.push(sender);
    const { balancer, router } = this.#rig;
    const cubes = [balancer, this.#firewall, router];
    const variables = { rule: u32(this.#ruleInForce()) };
    const beside = await openBeside('ways', 'pod_new', sender, this.chain, cubes, variables);
    this.#closers.push(beside);
    return { sender, beside: beside.program };
  }

  /** Place of one of the rules, one for each protocol, that have let connections through. */
  #ruleInForce(): number {
    const { keys } = this.#firewall.map('rule_counters').dumpSync();
    const { count, values } = this.#firewall.map('rules').dumpSync();
    for (let place = 0; place < count; place++) {
      const identity = values.subarray(16 * place, 16 * place + IDENTITY);
      for (let at = 0; at < keys.length; at += IDENTITY)
        if (identity.equals(keys.subarray(at, at + IDENTITY))) return place;
    }
    throw new Error('no policy has let a connection through');
  }

  sent(): Record<'request' | 'reply', number> {
    const { requests, replies } = this.#rig.sent();
    return { request: requests, reply: replies };
  }

  newSessions(): number {
    return leastOf([this.#rig.balancer, this.#firewall], 'newSessions');
  }

  forget(): number {
    return forgetOpenings(this.#rig.balancer) + forgetOpenings(this.#firewall);
  }

  close(): void {
    for (const object of this.#closers) object.close();
    this.#rig.close();
  }
}
