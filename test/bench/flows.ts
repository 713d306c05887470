// SPDX-License-Identifier: Apache-2.0

import type { BpfProgram } from '../../src/dataplane/kernel/addon/index.ts';
import { POD_MAC } from '../kernel/support/bytes.ts';
import { Chain, type ChainCube, u32 } from '../kernel/support/chain.ts';
import { type Connection, connect, FAMILIES, type Family, tupleOf } from './connect.ts';
import { FLOW_RECORDS, loadCube } from './load.ts';
import { policyFirewall } from './policy-rows.ts';
import { openBeside, Sender } from './sender.ts';
import { backendOf, PODS, SERVICES, serviceTables, vip } from './service-rows.ts';

/** Ports of the balancer; of the firewall, `outside` and `inside`. */
const SERVER = 0;
const CLIENT = 1;
const [OUTSIDE, INSIDE] = [0, 1];
export const CLIENTS = { ipv4: '10.244.1.10', ipv6: 'fd00:244:0:1::10' } as const;

/** A sender of a chain's packets with the program that makes their lookups alone. */
export interface ChainSender {
  readonly sender: Sender;
  /** Absent for replies. */
  readonly lookups?: BpfProgram;
}

/**
 * LoadBalancer, Firewall if wanted, and Router between pods of one node, as an agent would have loaded them: 64 Services
 * of four backends.
 */
export class Rig {
  readonly chain: Chain;
  readonly balancer: ChainCube;
  readonly router: ChainCube;
  readonly firewall: ChainCube | undefined;
  readonly #closers: { close(): void }[] = [];

  private constructor(chain: Chain, balancer: ChainCube, router: ChainCube, firewall?: ChainCube) {
    this.chain = chain;
    this.balancer = balancer;
    this.router = router;
    this.firewall = firewall;
  }

  /** `policies`: the firewall is that of config/provider/kubernetes.yaml, and has network policies. */
  static async open(options: { firewall?: boolean; policies?: boolean } = {}): Promise<Rig> {
    const chain = await Chain.open({ flows: FLOW_RECORDS });
    try {
      const balancer = await loadCube(chain, 1, {
        type: 'LoadBalancer',
        spec: {},
        ports: [
          { name: 'server', id: SERVER, addresses: [] },
          { name: 'pods', id: CLIENT, addresses: [], endpoint: 'Pods' },
        ],
        tables: serviceTables(),
      });
      const routes = await loadCube(chain, 2, {
        type: 'Router',
        spec: {},
        ports: [
          {
            name: 'clients',
            id: 0,
            addresses: ['10.244.1.1/24', 'fd00:244:0:1::1/64'],
            endpoint: 'Cube',
          },
          { name: 'pods', id: 1, addresses: ['10.244.2.1/24', 'fd00:244:0:2::1/64'], endpoint: 'Pods' },
        ],
      });
      const rules = [{ name: 'web', priority: 100, action: 'Allow', ports: [{ port: 8080 }] }];
      const firewall = options.firewall
        ? await loadCube(chain, 3, {
            type: 'Firewall',
            ...(options.policies ? policyFirewall(Object.values(CLIENTS)) : { spec: { rules } }),
            ports: ['outside', 'inside'].map((name, id) => ({
              name,
              id,
              addresses: [],
              endpoint: 'Cube' as const,
            })),
          })
        : undefined;
      for (const family of FAMILIES) {
        chain.addPod(CLIENTS[family], 1);
        for (let pod = 0; pod < PODS; pod++) chain.addPod(backendOf(family, pod), 2);
      }
      return new Rig(chain, balancer, routes, firewall);
    } catch (error) {
      chain.close();
      throw error;
    }
  }

  /** Packets come from the client's pod: balancer, firewall, router, pod of the backend. */
  fromClient(): void {
    const { chain, balancer, router, firewall } = this;
    if (firewall) {
      chain.link(balancer, SERVER, firewall, INSIDE);
      chain.link(firewall, OUTSIDE, router, 0);
    } else {
      chain.link(balancer, SERVER, router, 0);
    }
    chain.edge(router.slot, 1, { kind: 'pod' });
    chain.edge(balancer.slot, CLIENT, { kind: 'pod' });
    chain.attach({ kind: 'pod', addresses: Object.values(CLIENTS) }, balancer, CLIENT);
  }

  /** Packets come from the backends, by an interface: router, firewall, balancer, pod of the client. */
  fromServer(): void {
    this.fromClient();
    this.chain.attach({ kind: 'interface' }, this.router, 1);
  }

  /** So many connections to all Services, three of TCP and one of UDP, opened and confirmed by packets through the chain. */
  establish(family: Family, count: number): Connection[] {
    const send = (from: 'client' | 'server', frame: Buffer): Buffer => {
      if (from === 'client') this.fromClient();
      else this.fromServer();
      return this.chain.entry.testRun({ dataIn: frame }).dataOut;
    };
    return Array.from({ length: count }, (_, n) =>
      connect(
        {
          protocol: n % 4 === 3 ? 'UDP' : 'TCP',
          src: CLIENTS[family],
          dst: vip(family, n % SERVICES),
          sport: 1024 + n,
          dport: 80,
        },
        send,
        POD_MAC,
      ),
    );
  }

  /** What sends random packets of these connections, towards their servers or back. */
  async sender(
    family: Family,
    connections: readonly Connection[],
    way: 'request' | 'reply' = 'request',
  ): Promise<ChainSender> {
    const sender = await Sender.open(
      connections.map((one) => ({ frame: one[way], keys: [tupleOf(one.client), tupleOf(one.server)] })),
    );
    this.#closers.push(sender);
    const cubes = [this.balancer, this.router, ...(this.firewall ? [this.firewall] : [])];
    const variables = { prefix_length: u32(family === 'ipv6' ? 64 : 120) };
    const name = this.firewall ? 'load_balancer_firewall_router' : 'load_balancer_router';
    // the lookups of a reply are others, which nobody asks for
    if (way === 'reply') return { sender };
    const { program: lookups, ...rest } = await openBeside(
      'lookups',
      name,
      sender,
      this.chain,
      cubes,
      variables,
    );
    this.#closers.push(rest);
    return { sender, lookups };
  }

  /** Packets that have left the chain: requests to backends, replies to the client. */
  sent(): Record<'requests' | 'replies', number> {
    return { requests: this.router.port(1).txPackets, replies: this.balancer.port(CLIENT).txPackets };
  }

  close(): void {
    for (const object of this.#closers) object.close();
    this.chain.close();
  }
}
