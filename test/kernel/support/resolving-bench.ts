// SPDX-License-Identifier: Apache-2.0
/** A router between pods, the host and a LAN on which it finds MACs itself, with its image as on a node. */
import type { PacketOut } from '../../../src/cubes/cube-type.ts';
import { neighbours as codec } from '../../../src/cubes/router/generated/codec.ts';
import { RingBuffer } from '../../../src/dataplane/kernel/addon/index.ts';
import { decodePunt } from '../../../src/dataplane/punt-record.ts';
import { GATEWAY_MAC } from './bytes.ts';
import { Chain, type ChainCube } from './chain.ts';
import { TestInjector } from './injector.ts';
import { arp, ethernet, icmp, ip, ipv6, linkLayerOption, udp } from './packet.ts';
import { addRouter, apply, type RouterOptions, type TestRouter } from './router.ts';

export const [PODS, LAN, HOST] = [0, 1, 2];

export class ResolvingBench {
  readonly chain: Chain;
  readonly router: TestRouter;
  readonly #wire: ChainCube;
  readonly #ring: RingBuffer;
  readonly #injector: TestInjector;

  private constructor(chain: Chain, router: TestRouter, wire: ChainCube, injector: TestInjector) {
    this.chain = chain;
    this.router = router;
    this.#wire = wire;
    this.#injector = injector;
    this.#ring = new RingBuffer(chain.shared('punts'), () => undefined);
    this.#ring.unref();
  }

  static async open(spec: RouterOptions['spec'] = {}): Promise<ResolvingBench> {
    const chain = await Chain.open();
    const router = await addRouter(chain, {
      ports: [
        { name: 'pods', id: PODS, addresses: ['10.244.1.1/24', 'fd00:244:1::1/64'], endpoint: 'Pods' },
        { name: 'lan', id: LAN, addresses: ['10.9.0.1/24', 'fd09::1/64'], endpoint: 'Cube' },
        { name: 'host', id: HOST, addresses: [], endpoint: 'Stack' },
      ],
      spec: {
        neighbours: { ports: ['lan'], static: [], reachableSeconds: 30, maxNeighbours: 64 },
        ...spec,
      },
    });
    router.image.tick(now());
    const schema = { dropReasons: [], counters: [] } as never;
    const wire = await chain.add({ object: 'pass', schema, slot: 2 });
    const injector = await TestInjector.open(chain);
    return new ResolvingBench(chain, router, wire, injector);
  }

  /** A frame that comes in by a port, through another cube. */
  enter(port: number, frame: Uint8Array): ReturnType<Chain['run']> {
    this.chain.edge(this.#wire.slot, 1, { kind: 'cube', target: this.router.cube.slot, port });
    this.chain.attach({ kind: 'interface' }, this.#wire, 0);
    return this.chain.run(frame);
  }

  /** Gives the records of the ring to the image, as the agent does, and returns what it sends. */
  records(): PacketOut[] {
    const sent: PacketOut[] = [];
    for (let some = this.#ring.consume(); some.length > 0; some = this.#ring.consume()) {
      for (const { record } of some.map(decodePunt)) {
        sent.push(...(this.router.image.punted(record).packets ?? []));
      }
    }
    this.router.write();
    return sent;
  }

  /** Records that nobody has read yet, without reading them to the image. */
  unread(): number {
    return this.#ring.consume().length;
  }

  /** Lets that many seconds pass for the image. */
  pass(seconds: number): PacketOut[] {
    this.router.image.tick(now() + seconds);
    this.router.write();
    return [...this.router.image.takePackets()];
  }

  /** Other routes of a table. */
  routes(rows: Parameters<TestRouter['image']['setTable']>[1]): void {
    this.router.image.setTable('test/routes', rows);
    apply(this.router.cube, this.router.image.take());
  }

  /** Sends a packet in again, as the agent does by its device. */
  resume({ port, packet, metadata = 0n }: PacketOut): ReturnType<Chain['run']> {
    const { slot } = this.router.cube;
    const request = this.#injector.request(packet, { slot, port, metadata });
    return this.chain.runBy(this.#injector.program, request);
  }

  row(address: string) {
    const key = new Uint8Array(codec.keySize);
    codec.encodeKey({ addr: address, port: LAN }, key);
    const value = this.router.cube.map('neighbours').lookup(Buffer.from(key));
    return value && codec.decodeValue(value);
  }

  close(): void {
    this.#injector.close();
    this.#ring.close();
    this.chain.close();
  }
}

function now(): number {
  return Number(process.hrtime.bigint() / 1_000_000n) / 1000;
}

/** From a pod. */
export const toward = (dst: string, payload = 32) =>
  ethernet(
    {},
    ip(
      { src: dst.includes(':') ? 'fd00:244:1::5' : '10.244.1.5', dst },
      udp({ sport: 1000, dport: 2000, payload }),
    ),
  );

/** To the router. */
export function arpReply(mac: string, sender: string): Buffer {
  const said = { operation: 2, senderMac: mac, sender, targetMac: GATEWAY_MAC, target: '10.9.0.1' };
  return ethernet({ src: mac, dst: GATEWAY_MAC }, arp(said));
}

/** A solicited one. */
export function advertisement(src: string, target: Buffer, mac: string): Buffer {
  const payload = Buffer.concat([target, linkLayerOption(2, mac)]);
  return ethernet(
    { src: mac, dst: GATEWAY_MAC },
    ipv6({ src, dst: 'fd09::1', hopLimit: 255 }, icmp({ type: 136, v6: true, rest: 0x60000000, payload })),
  );
}
