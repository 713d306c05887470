// SPDX-License-Identifier: Apache-2.0
/** A rate limiter in a chain, its maps filled by the code that fills them on a node. */
import type { Limit, RateLimiter } from '../../../src/api/generated/types.ts';
import type { CubeInput } from '../../../src/cubes/cube-type.ts';
import { buckets, limitDrops } from '../../../src/cubes/rate-limiter/generated/codec.ts';
import { RateLimiterImage } from '../../../src/cubes/rate-limiter/image.ts';
import { schema } from '../../../src/cubes/rate-limiter/schema.ts';
import { rateLimiter } from '../../../src/cubes/rate-limiter/type.ts';
import { Chain, type ChainCube, u32 } from './chain.ts';
import { enterBy, write } from './mitigator.ts';
import { ethernet, ip, udp } from './packet.ts';
import { NODE } from './router.ts';

export const OUTSIDE = 0;
export const INSIDE = 1;
const PORTS = { ingress: OUTSIDE, egress: INSIDE } as const;
export type Direction = keyof typeof PORTS;

/** 16 ticks are a nanosecond. */
export const TICKS = 16n;

export function limiterInput(spec: Partial<RateLimiter> = {}): CubeInput<RateLimiter> {
  return {
    namespace: 'test',
    name: 'limiter',
    uid: 'u',
    spec: { limits: [], maxLimits: 64, ...spec },
    ports: [
      { name: 'outside', id: OUTSIDE, addresses: [] },
      { name: 'inside', id: INSIDE, addresses: [] },
    ],
  };
}

/** A datagram in a frame of so many bytes, towards an address or from it. */
export function frameOf(direction: Direction, address: string, peer: string, length: number): Buffer {
  const [src, dst] = direction === 'ingress' ? [peer, address] : [address, peer];
  const headers = 14 + (address.includes(':') ? 40 : 20) + 8;
  return ethernet({}, ip({ src, dst }, udp({ sport: 1, dport: 2, payload: length - headers })));
}

export class Limiter {
  readonly chain: Chain;
  readonly cube: ChainCube;
  readonly image: RateLimiterImage;

  private constructor(chain: Chain, cube: ChainCube, image: RateLimiterImage) {
    this.chain = chain;
    this.cube = cube;
    this.image = image;
  }

  /** In slot 1, between the attachment and the probe at both ports. */
  static async open(spec: Partial<RateLimiter> = {}, path?: string): Promise<Limiter> {
    const input = limiterInput(spec);
    const { rodata, sizes } = rateLimiter.instance(input, NODE);
    const chain = await Chain.open();
    const cube = await chain.add({
      ...{ object: 'rate-limiter', schema, slot: 1, variables: rodata, mapSizes: sizes },
      transparent: true,
      ...(path === undefined ? {} : { path }),
    });
    const limiter = new Limiter(chain, cube, new RateLimiterImage(input.spec));
    limiter.image.settle();
    limiter.flush();
    return limiter;
  }

  flush(): void {
    write((name) => this.cube.map(name), this.image.take());
  }

  set(key: string, rows: readonly Limit[] | undefined): readonly string[] {
    this.image.setTable(key, rows);
    this.flush();
    return this.image.problems().map(({ message }) => message);
  }

  enter(direction: Direction): void {
    enterBy(this.chain, this.cube, PORTS[direction]);
  }

  /** `passed`, or the reason of the drop. */
  fate(direction: Direction, frame: Uint8Array, options: { gsoSize?: number; dry?: boolean } = {}): string {
    this.enter(direction);
    const { seen, drops } = this.chain.run(frame, options);
    if (seen !== undefined && seen.port !== 1 - PORTS[direction]) throw new Error(`it left by ${seen.port}`);
    return seen === undefined ? drops.join().replace('rate-limiter ', '') : 'passed';
  }

  bucket(number: number) {
    return buckets.decodeValue(this.cube.map('buckets').lookup(u32(number)) as Uint8Array);
  }

  dropped(number: number) {
    return limitDrops.decodeValue(this.cube.map('limit_drops').lookup(u32(number)) as Uint8Array);
  }

  [Symbol.dispose](): void {
    this.chain.close();
  }
}
