// SPDX-License-Identifier: Apache-2.0
/** The router as a neighbour: ARP and neighbour discovery for the addresses of its ports. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { GATEWAY_MAC, ipBytes, POD_MAC } from './support/bytes.ts';
import { Chain, Flag, Verdict } from './support/chain.ts';
import { dissect, dissectPacket, verifyChecksums } from './support/dissect.ts';
import {
  arp,
  ethernet,
  extension,
  icmp,
  ipv6,
  type Layer4,
  linkLayerOption,
  solicitation,
} from './support/packet.ts';
import { addRouter, type TestRouter } from './support/router.ts';

const BROADCAST = 'ff:ff:ff:ff:ff:ff';
let chain: Chain;
let router: TestRouter;

beforeAll(async () => {
  chain = await Chain.open();
  router = await addRouter(chain, {
    ports: [
      { name: 'pods', id: 0, addresses: ['10.244.1.1/24', 'fd00:244:1::1/64', 'fe80::1/64'] },
      { name: 'uplink', id: 1, addresses: ['192.168.7.2/30', 'fd00:7::2/126'] },
    ],
  });
});
afterAll(() => chain.close());
beforeEach(() => chain.attach({ kind: 'interface' }, router.cube, 0));

describe('ARP', () => {
  const ask = (target: string, sender = '10.244.1.5', change: Partial<Parameters<typeof arp>[0]> = {}) =>
    ethernet({ dst: BROADCAST }, arp({ operation: 1, senderMac: POD_MAC, sender, target, ...change }));

  test.each(['10.244.1.5', '0.0.0.0'])('answers %s', (sender) => {
    const result = chain.run(ask('10.244.1.1', sender));
    expect(result).toMatchObject({ drops: [], counts: ['router arpReplies'], seen: { port: 0 } });
    expect(result.seen?.work).toMatchObject({
      src: '10.244.1.1',
      dst: sender,
      flags: Flag.arp | Flag.frameReady,
    });
    expect(dissect(result.frame)).toMatchObject({
      eth: { dst: POD_MAC, src: GATEWAY_MAC },
      arp: { operation: 2, senderMac: GATEWAY_MAC, sender: '10.244.1.1', targetMac: POD_MAC, target: sender },
    });
    expect(result.frame).toHaveLength(42);
  });

  test.each([
    ['another host', ask('10.244.1.9')],
    ['an address of another port', ask('192.168.7.2')],
    ['a reply', ask('10.244.1.1', '10.244.1.5', { operation: 2 })],
  ])('leaves %s to the host, on an interface', (_, frame) => {
    expect(chain.run(frame)).toMatchObject({ verdict: Verdict.pass, frame, drops: [] });
    chain.attach({ kind: 'pod', addresses: ['10.244.1.5'] }, router.cube, 0);
    expect(chain.run(frame)).toMatchObject({ verdict: Verdict.drop, drops: ['router LinkLocalControl'] });
  });

  test("answers with the interface's own MAC, which no other node has", () => {
    const mac = '02:00:00:00:77:01';
    chain.attach({ kind: 'interface', mac }, router.cube, 0);
    expect(dissect(chain.run(ask('10.244.1.1')).frame)).toMatchObject({
      eth: { dst: POD_MAC, src: mac },
      arp: { operation: 2, senderMac: mac, sender: '10.244.1.1' },
    });
  });

  test.each([
    ['whoever claims the address', ask('10.244.1.1', '10.244.1.1')],
    ['a group', ask('10.244.1.1', '10.244.1.5', { senderMac: '01:00:5e:00:00:01' })],
    [
      'behind a VLAN tag',
      ethernet(
        { vlan: 5 },
        arp({ operation: 1, senderMac: POD_MAC, sender: '10.244.1.5', target: '10.244.1.1' }),
      ),
    ],
  ])('does not answer %s', (_, frame) => {
    expect(chain.run(frame)).toMatchObject({
      verdict: Verdict.drop,
      drops: ['router ArpInvalid'],
      counts: [],
    });
  });
});

describe('neighbour discovery', () => {
  const GROUP = 'ff02::1:ff00:1';
  interface Options {
    src?: string;
    dst?: string;
    hopLimit?: number;
  }
  const frame = (content: Layer4, { src = 'fd00:244:1::5', dst = GROUP, hopLimit = 255 }: Options = {}) =>
    ethernet({ dst: '33:33:ff:00:00:01' }, ipv6({ src, dst, hopLimit }, content));
  const option = linkLayerOption(1, POD_MAC);
  const flags = (packet: ReturnType<typeof dissectPacket>) => (packet.icmp?.rest ?? 0) >>> 29;

  test.each([
    ['with an option', 'fd00:244:1::1', solicitation('fd00:244:1::1', option), POD_MAC],
    ['without one', 'fd00:244:1::1', solicitation('fd00:244:1::1'), POD_MAC],
    ['for a link-local address', 'fe80::1', solicitation('fe80::1', option), POD_MAC],
    [
      'with options that it does not know',
      'fd00:244:1::1',
      solicitation(
        'fd00:244:1::1',
        Buffer.concat([Buffer.from([14, 1, 1, 2, 3, 4, 5, 6]), linkLayerOption(1, '02:00:00:00:55:55')]),
      ),
      '02:00:00:00:55:55',
    ],
  ])('answers a solicitation %s', (_, target, content, mac) => {
    for (const dst of [GROUP, target]) {
      const result = chain.run(frame(content, { dst }));
      expect(result).toMatchObject({ drops: [], counts: ['router arpReplies'], seen: { port: 0 } });
      expect(verifyChecksums(result.frame)).toEqual([]);
      expect(dissect(result.frame).eth).toMatchObject({ dst: mac, src: GATEWAY_MAC });
      const packet = dissectPacket(result.frame);
      expect(packet).toMatchObject({
        src: target,
        dst: 'fd00:244:1::5',
        ttl: 255,
        icmp: { type: 136, code: 0 },
      });
      expect(flags(packet)).toBe(0b111); // router, solicited, override
      expect(packet.icmp?.payload).toEqual(Buffer.concat([ipBytes(target), linkLayerOption(2, GATEWAY_MAC)]));
      expect(result.seen?.work.flags).toBe(Flag.ipv6 | Flag.nd | Flag.frameReady);
    }
  });

  test('defends its address against duplicate address detection', () => {
    const result = chain.run(frame(solicitation('fd00:244:1::1'), { src: '::' }));
    expect(verifyChecksums(result.frame)).toEqual([]);
    expect(dissect(result.frame).eth.dst).toBe('33:33:00:00:00:01');
    const packet = dissectPacket(result.frame);
    expect(packet).toMatchObject({ src: 'fd00:244:1::1', dst: 'ff02::1', icmp: { type: 136 } });
    expect(flags(packet)).toBe(0b101); // not solicited
  });

  test.each([
    ['another host', solicitation('fd00:244:1::9', option)],
    ['an address of another port', solicitation('fd00:7::2', option)],
    ['an advertisement', icmp({ type: 136, v6: true, payload: ipBytes('fd00:244:1::1') })],
    ['a router solicitation', icmp({ type: 133, v6: true })],
  ])('leaves %s to the host, on an interface', (_, content) => {
    const asked = frame(content);
    expect(chain.run(asked)).toMatchObject({ verdict: Verdict.pass, frame: asked, drops: [] });
    chain.attach({ kind: 'stack' }, router.cube, 0);
    expect(chain.run(asked)).toMatchObject({ verdict: Verdict.drop, drops: ['router LinkLocalControl'] });
  });

  const own = 'fd00:244:1::1';
  const bad = (content: Layer4, options: Options = {}) => frame(content, options);
  test.each([
    ['a wrong checksum', bad(icmp({ type: 135, v6: true, payload: ipBytes(own), checksum: 1 }))],
    ['a code', bad(icmp({ type: 135, code: 1, v6: true, payload: ipBytes(own) }))],
    ['a cut target', bad(icmp({ type: 135, v6: true, payload: ipBytes(own).subarray(0, 8) }))],
    ['a group as target', bad(icmp({ type: 135, v6: true, payload: ipBytes('ff02::1') }))],
    ['an option of length zero', bad(solicitation(own, Buffer.alloc(8)))],
    ['an option beyond the end', bad(solicitation(own, Buffer.from([1, 2, 0, 0, 0, 0, 0, 0])))],
    ['too many options', bad(solicitation(own, Buffer.concat(new Array(9).fill(option))))],
    ['a MAC from nowhere', bad(solicitation(own, option), { src: '::' })],
    ['a probe to one host', bad(solicitation(own), { src: '::', dst: own })],
    [
      'extension headers',
      ethernet(
        {},
        ipv6(
          { src: 'fd00:244:1::5', dst: GROUP, hopLimit: 255, extensions: [extension(0)] },
          solicitation(own),
        ),
      ),
    ],
  ])('does not answer with %s', (_, asked) => {
    expect(chain.run(asked)).toMatchObject({
      verdict: Verdict.drop,
      drops: ['router ArpInvalid'],
      counts: [],
    });
  });

  test('does not answer from afar: hop limit 254', () => {
    expect(chain.run(frame(solicitation(own, option), { hopLimit: 254 })).counts).toEqual([]);
    const routed = ipv6({ src: 'fd00:244:1::5', dst: own, hopLimit: 254 }, solicitation(own, option));
    expect(chain.run(ethernet({}, routed)).drops).toEqual(['router LocalDelivery']);
  });
});
