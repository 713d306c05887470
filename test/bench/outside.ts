// SPDX-License-Identifier: Apache-2.0

/** What the provider has between an uplink and the pods of a node, and clients outside that use Services. */
import { mappedBytes } from '../kernel/support/bytes.ts';
import { Chain, type ChainCube, u32 } from '../kernel/support/chain.ts';
import {
  type Connection,
  connect,
  type Ends,
  FAMILIES,
  type Family,
  frameOf,
  sourceOffsets,
  tupleOf,
  turned,
} from './connect.ts';
import { FLOW_RECORDS, loadCube, NODE } from './load.ts';
import { openBeside, PACKET_HOST, Sender } from './sender.ts';
import { backendOf, NODE_ADDRESSES, outsideEnd, PODS, SERVICES, serviceTables } from './service-rows.ts';
import { forgetOpenings, leastOf, NEW_FLOWS, type Traffic, type Way } from './way.ts';

/** Ports: of the NAT, of the balancer, of the router. */
const [OUTSIDE, INSIDE] = [0, 1];
const [SERVER, CLIENT] = [0, 1];
const [UPLINK, POD_SIDE] = [0, 1];

/** Stand for clients outside where a backend sees none of them. */
const FICTITIOUS = { ipv4: '10.244.2.254', ipv6: 'fd00:244:0:2::ffff' } as const;
const POD_NETS = ['10.244.2.0/24', 'fd00:244:0:2::/64'];
/** Other nodes with pods of their own, and the length of the prefixes of these, of 128 bits. */
const OTHER_NODES = 10;
const OTHER_NET_LENGTH = { ipv4: 120, ipv6: 64 } as const;

const clientOf = (family: Family, n: number): string =>
  family === 'ipv4' ? `198.18.${n >> 8}.${n & 255}` : `2001:db8::${(n + 1).toString(16)}`;

function endsOf(family: Family, n: number, protocol: Ends['protocol'], sport: number): Ends {
  const { address, port } = outsideEnd(family, n % SERVICES);
  return { protocol, src: clientOf(family, n), dst: address, sport, dport: port };
}

/** The frame is for the node itself: for the device of BPF_PROG_TEST_RUN, loopback, whose MAC is zero. */
function forHost(frame: Buffer): Buffer {
  return frame.fill(0, 0, 6);
}

/** Nat of role Discriminator, LoadBalancer with Maglev and a source of the node, Router: as config/provider/kubernetes.yaml. */
export class Outside implements Way {
  readonly name = 'nat-load-balancer-router';
  readonly chain: Chain;
  readonly nat: ChainCube;
  readonly balancer: ChainCube;
  readonly router: ChainCube;
  readonly #closers: { close(): void }[] = [];

  private constructor(chain: Chain, nat: ChainCube, balancer: ChainCube, router: ChainCube) {
    this.chain = chain;
    this.nat = nat;
    this.balancer = balancer;
    this.router = router;
  }

  static async open(): Promise<Outside> {
    const chain = await Chain.open({ flows: FLOW_RECORDS });
    try {
      const node = { ...NODE, addresses: Object.values(NODE_ADDRESSES) };
      const nat = await loadCube(
        chain,
        1,
        {
          type: 'Nat',
          spec: {
            role: 'Discriminator',
            sourceRules: POD_NETS.map((net) => ({ type: 'Masquerade', sources: [net] })),
          },
          ports: [
            {
              name: 'outside',
              id: OUTSIDE,
              addresses: [`${NODE_ADDRESSES.ipv4}/32`, `${NODE_ADDRESSES.ipv6}/128`],
              endpoint: 'Interface',
            },
            { name: 'inside', id: INSIDE, addresses: [], endpoint: 'Cube' },
          ],
          tables: serviceTables(true),
        },
        node,
      );
      const balancer = await loadCube(
        chain,
        2,
        {
          type: 'LoadBalancer',
          spec: {
            algorithm: 'Maglev',
            scopes: ['External', 'LoadBalancer', 'NodePort'],
            clusterSources: Object.values(FICTITIOUS),
          },
          ports: ['server', 'outside'].map((name, id) => ({
            name,
            id,
            addresses: [],
            endpoint: 'Cube' as const,
          })),
          tables: serviceTables(true),
        },
        node,
      );
      const router = await loadCube(chain, 3, {
        type: 'Router',
        spec: {
          routes: [`${FICTITIOUS.ipv4}/32`, `${FICTITIOUS.ipv6}/128`, '0.0.0.0/0', '::/0'].map(
            (destination) => ({ destination, type: 'Port', port: 'uplink' }),
          ),
        },
        ports: [
          { name: 'uplink', id: UPLINK, addresses: [], endpoint: 'Cube' },
          {
            name: 'pods',
            id: POD_SIDE,
            addresses: ['10.244.2.1/24', 'fd00:244:0:2::1/64'],
            endpoint: 'Pods',
          },
        ],
      });
      chain.configure({ lengths4: [OTHER_NET_LENGTH.ipv4], lengths6: [OTHER_NET_LENGTH.ipv6] });
      for (let n = 0; n < OTHER_NODES; n++) {
        chain.addOverlaySource(`10.244.${100 + n}.0`, OTHER_NET_LENGTH.ipv4, `192.0.2.${100 + n}`);
        chain.addOverlaySource(`fd00:244:0:${100 + n}::`, OTHER_NET_LENGTH.ipv6, `192.0.2.${100 + n}`);
      }
      for (const family of FAMILIES) {
        chain.hostAddress(NODE_ADDRESSES[family]);
        for (let pod = 0; pod < PODS; pod++) chain.addPod(backendOf(family, pod), 2);
      }
      chain.link(nat, INSIDE, balancer, CLIENT);
      chain.link(balancer, SERVER, router, UPLINK);
      chain.edge(router.slot, POD_SIDE, { kind: 'pod' });
      chain.edge(nat.slot, OUTSIDE, { kind: 'neighbour', target: 1 });
      return new Outside(chain, nat, balancer, router);
    } catch (error) {
      chain.close();
      throw error;
    }
  }

  /** Packets come in by the uplink. */
  fromOutside(): void {
    this.chain.attach({ kind: 'interface', all: true }, this.nat, OUTSIDE);
  }

  /** Packets come from the backends. */
  fromPods(): void {
    this.chain.attach({ kind: 'stack' }, this.router, POD_SIDE);
  }

  /** So many connections to all Services, each of another client, opened and confirmed by packets through the chain. */
  establish(family: Family, protocol: Ends['protocol'], count: number): Connection[] {
    return Array.from({ length: count }, (_, n) => {
      const connection = connect(endsOf(family, n, protocol, 1024 + n), (from, frame) => {
        if (from === 'client') this.fromOutside();
        else this.fromPods();
        const dataIn = from === 'client' ? forHost(frame) : frame;
        return this.chain.entry.testRun({ dataIn }).dataOut;
      });
      const { src } = connection.server;
      if (src !== FICTITIOUS[family]) throw new Error(`a backend sees ${src} and not what stands for it`);
      return connection;
    });
  }

  async traffic(family: Family, count: number): Promise<Traffic[]> {
    const all: Traffic[] = [];
    for (const protocol of ['TCP', 'UDP'] as const) {
      const connections = this.establish(family, protocol, count);
      for (const way of ['request', 'reply'] as const) {
        const packets = connections.map((one) => ({
          frame: one[way],
          keys: [tupleOf(one.client), tupleOf(turned(one.server), 1)],
        }));
        const sender = await Sender.open(packets, undefined, way === 'request' ? PACKET_HOST : undefined);
        all.push(await this.#traffic(family, `${way}.${protocol.toLowerCase()}`, way, sender));
      }
    }
    all.push(await this.#traffic(family, 'new', 'request', await this.#newSender(family)));
    return all;
  }

  /** First packets, three SYNs and one datagram in turn. */
  async #newSender(family: Family): Promise<Sender> {
    const packets = Array.from({ length: NEW_FLOWS }, (_, n) => {
      const client = endsOf(family, n, n % 4 === 3 ? 'UDP' : 'TCP', 0);
      return { frame: forHost(frameOf(client, 'S', 100)), keys: [tupleOf(client)] };
    });
    return Sender.open(packets, { frame: sourceOffsets(family).port, keys: [32] }, PACKET_HOST);
  }

  async #traffic(family: Family, name: string, way: 'request' | 'reply', sender: Sender): Promise<Traffic> {
    this.#closers.push(sender);
    const isNew = name === 'new';
    const cubes = [this.nat, this.balancer, this.router];
    const beside = await openBeside(
      'ways',
      isNew ? 'outside_new' : `outside_${way}`,
      sender,
      this.chain,
      cubes,
      {
        masquerade: mappedBytes(FICTITIOUS[family]),
        overlay_length: u32(OTHER_NET_LENGTH[family]),
      },
    );
    this.#closers.push(beside);
    const enter = (): void => (way === 'request' ? this.fromOutside() : this.fromPods());
    return { name, way, sender, beside: beside.program, enter, isNew };
  }

  newSessions(): number {
    return leastOf([this.balancer], 'newSessions');
  }

  sent(): Record<'request' | 'reply', number> {
    return { request: this.router.port(POD_SIDE).txPackets, reply: this.nat.port(OUTSIDE).txPackets };
  }

  /** Nobody knows of new connections any more. */
  forget(): number {
    return forgetOpenings(this.balancer);
  }

  close(): void {
    for (const object of this.#closers) object.close();
    this.chain.close();
  }
}
