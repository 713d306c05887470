// SPDX-License-Identifier: Apache-2.0
/** What a router that finds MACs itself believes of what neighbours say. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ipBytes, mappedBytes } from './support/bytes.ts';
import { ethernet, ipv6, linkLayerOption, solicitation } from './support/packet.ts';
import { advertisement, arpReply, LAN, PODS, ResolvingBench, toward } from './support/resolving-bench.ts';

const HOST_MAC = '02:00:5e:00:00:07';
const OTHER_MAC = '02:00:5e:00:00:08';

let bench: ResolvingBench;
beforeEach(async () => {
  bench = await ResolvingBench.open();
});
afterEach(() => bench.close());

/** The host is known from here on. */
function introduce(address: string): void {
  bench.enter(PODS, toward(address));
  bench.records();
  const isV6 = address.includes(':');
  bench.enter(LAN, isV6 ? advertisement(address, ipBytes(address), HOST_MAC) : arpReply(HOST_MAC, address));
  bench.records();
  expect(bench.row(address)).toMatchObject({ state: 2, mac: HOST_MAC });
}

describe('what a solicitation tells is its option (RFC 4861 7.2.3)', () => {
  const asks = (src: string, ...options: Buffer[]) =>
    ethernet(
      { src, dst: '33:33:ff:00:00:01' },
      ipv6(
        { src: 'fd09::7', dst: 'ff02::1:ff00:1', hopLimit: 255 },
        solicitation('fd09::1', Buffer.concat(options)),
      ),
    );
  const nonce = Buffer.from([14, 1, 1, 2, 3, 4, 5, 6]);

  test.each([
    ['its only one', [linkLayerOption(1, OTHER_MAC)]],
    ['one behind another', [nonce, linkLayerOption(1, OTHER_MAC)]],
  ])('%s, also in a frame from the MAC that is known', (_, options) => {
    introduce('fd09::7');
    bench.enter(LAN, asks(HOST_MAC, ...options));
    bench.records();
    expect(bench.row('fd09::7')).toMatchObject({ state: 2, mac: OTHER_MAC });
  });

  test('what is known, or no MAC at all, is not told to the agent', () => {
    introduce('fd09::7');
    bench.enter(LAN, asks(OTHER_MAC, linkLayerOption(1, HOST_MAC)));
    bench.enter(LAN, asks(OTHER_MAC));
    expect(bench.unread()).toBe(0);
  });
});

test('an advertisement about an IPv4 address is not heard', () => {
  introduce('10.9.0.7');
  bench.enter(LAN, advertisement('fd09::9', mappedBytes('10.9.0.7'), OTHER_MAC));
  bench.records();
  expect(bench.row('10.9.0.7')).toMatchObject({ mac: HOST_MAC });
});

test('eight records a second of one neighbour, however often it changes its MAC', () => {
  introduce('10.9.0.7');
  const start = process.hrtime.bigint() >> 30n;
  let drops: (string | undefined)[] = [];
  for (let i = 0; i < 40; i++) {
    const said = arpReply(i % 2 === 0 ? OTHER_MAC : HOST_MAC, '10.9.0.7');
    drops = [...drops, ...bench.enter(LAN, said).drops];
    bench.records(); // which makes the agent write the row
  }
  const seconds = Number((process.hrtime.bigint() >> 30n) - start) + 1;
  const heard = drops.filter((drop) => drop === 'router Punted');
  expect(heard.length).toBeLessThanOrEqual(8 * seconds);
  expect(drops.filter((drop) => drop === 'router PuntLimited')).toHaveLength(40 - heard.length);
});
