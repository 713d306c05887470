// SPDX-License-Identifier: Apache-2.0
/** The forwarder: each member of a rule, their order, each action; random packets and rules against a model. */
import { describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import type { ForwarderRule } from '../../src/api/generated/types.ts';
import { contains, parseAddress, parsePrefix } from '../../src/api/ip.ts';
import { desired } from '../../src/cubes/forwarder/desired.ts';
import { RingBuffer } from '../../src/dataplane/kernel/addon/index.ts';
import { decodePunt } from '../../src/dataplane/punt-record.ts';
import { Chain, type RunOptions, type RunResult, Verdict } from './support/chain.ts';
import { addForwarder, rule } from './support/forwarder.ts';
import {
  arp,
  echo,
  ethernet,
  extension,
  fragments,
  icmpError,
  ip,
  ipv4,
  ipv6,
  raw,
  sctp,
  tcp,
  udp,
} from './support/packet.ts';

jest.setTimeout(60_000);

const PORTS = ['a', 'b', 'c'];
const [A, B, C] = [0, 1, 2];
const V4 = { src: '10.1.2.3', dst: '192.0.2.9' };
const V6 = { src: 'fd00:1::3', dst: '2001:db8::9' };
const UDP = udp({ sport: 5000, dport: 53, payload: 8 });
const toC = { type: 'Output', output: { port: 'c' } } as const;

/** Sends frames in by a port of a forwarder with these rules; what no rule matches leaves by `b`. */
async function withRules(
  rules: readonly (Omit<ForwarderRule, 'priority' | 'action'> & Partial<ForwarderRule>)[],
  body: (send: (frame: Buffer, options?: RunOptions & { port?: number }) => RunResult) => void,
): Promise<void> {
  using chain = await Chain.open();
  const cube = await addForwarder(chain, PORTS, {
    rules: rules.map((given) => rule({ action: toC, ...given })),
    defaultAction: { type: 'Output', output: { port: 'b' } },
  });
  body((frame, { port = A, ...options } = {}) => {
    chain.attach({ kind: 'interface' }, cube, port);
    return chain.run(frame, options);
  });
}

const v4 = ethernet({}, ip(V4, UDP));
const v6 = ethernet({}, ip(V6, UDP));
const ARP = ethernet(
  {},
  arp({ operation: 1, senderMac: '02:00:00:00:00:01', sender: '10.1.2.3', target: '10.1.2.4' }),
);

describe('a rule asks for', () => {
  type Case = [string, Omit<ForwarderRule, 'priority' | 'action'>, Buffer[], Buffer[]];
  const whole = (content = UDP) => [ethernet({}, ip(V4, content)), ethernet({}, ip(V6, content))];
  test.each<Case>([
    ['nothing', {}, [v4, v6, ARP, ethernet({}, Buffer.alloc(50))], []],
    [
      'a source',
      { sources: ['10.0.0.0/8', 'fd00:1::/64'] },
      [v4, v6],
      [ethernet({}, ip({ ...V4, src: '11.1.2.3' }, UDP)), ARP],
    ],
    [
      'a destination',
      { destinations: ['192.0.2.9/32', '2001:db8::9/128'] },
      [v4, v6],
      [
        ethernet({}, ip({ ...V4, dst: '192.0.2.8' }, UDP)),
        ethernet({}, ip({ ...V6, dst: '2001:db8::8' }, UDP)),
      ],
    ],
    ['any IPv4', { sources: ['0.0.0.0/0'] }, [v4], [v6, ARP]],
    ['any IPv6', { destinations: ['::/0'] }, [v6], [v4, ARP]],
    ['a protocol', { protocols: ['UDP'] }, [v4, v6], [...whole(tcp({ sport: 5000, dport: 53 })), ARP]],
    [
      'a protocol by number',
      { protocols: ['47', 'SCTP'] },
      [...whole(raw(47, 30)), ...whole(sctp({ sport: 1, dport: 2 }))],
      [v4, v6],
    ],
    [
      'echo',
      { protocols: ['ICMP', 'ICMPv6'] },
      [ethernet({}, ip(V4, echo())), ethernet({}, ip(V6, echo({ v6: true })))],
      [v4, v6],
    ],
    [
      'a port',
      { ports: [{ protocol: 'UDP', port: 53 }] },
      [v4, v6],
      [...whole(tcp({ sport: 5000, dport: 53 })), ...whole(udp({ sport: 53, dport: 54 }))],
    ],
    [
      'a range of ports',
      { ports: [{ protocol: 'TCP', port: 80, endPort: 90 }] },
      [...whole(tcp({ sport: 1, dport: 80 })), ...whole(tcp({ sport: 1, dport: 90 }))],
      [...whole(tcp({ sport: 1, dport: 79 })), ...whole(tcp({ sport: 1, dport: 91 }))],
    ],
    [
      'a source port',
      { sourcePorts: [{ protocol: 'UDP', port: 5000 }] },
      [v4, v6],
      [...whole(udp({ sport: 5001, dport: 53 }))],
    ],
    [
      'both ports',
      { ports: [{ protocol: 'UDP', port: 53 }], sourcePorts: [{ protocol: 'UDP', port: 5000 }] },
      [v4, v6],
      [...whole(udp({ sport: 5001, dport: 53 })), ...whole(udp({ sport: 5000, dport: 52 }))],
    ],
    [
      'a protocol or a port',
      { protocols: ['ICMP'], ports: [{ protocol: 'UDP', port: 53 }] },
      [v4, ethernet({}, ip(V4, echo()))],
      [...whole(udp({ sport: 1, dport: 2 }))],
    ],
    [
      'a code point',
      { dscp: 46 },
      [ethernet({}, ipv4({ ...V4, tos: 0xb8 }, UDP)), ethernet({}, ipv6({ ...V6, trafficClass: 0xbb }, UDP))],
      [v4, v6, ARP],
    ],
    [
      'the code point zero',
      { dscp: 0 },
      [v4, v6, ethernet({}, ipv4({ ...V4, tos: 3 }, UDP))],
      [ethernet({}, ipv4({ ...V4, tos: 4 }, UDP)), ARP],
    ],
  ])('%s', async (_, match, yes, no) => {
    await withRules([match], (send) => {
      for (const frame of yes) {
        const result = send(frame);
        expect(result).toMatchObject({ seen: { port: C }, counts: ['forwarder matched'], drops: [] });
        expect(result.frame).toEqual(frame);
      }
      for (const frame of no)
        expect(send(frame)).toMatchObject({ seen: { port: B }, counts: ['forwarder unmatched'] });
    });
  });

  test('a port of the cube', async () => {
    await withRules([{ inPorts: ['b', 'c'] }], (send) => {
      expect([A, B, C].map((port) => send(v4, { port }).seen?.port)).toEqual([B, C, C]);
    });
  });

  test('bits of the mark', async () => {
    await withRules([{ mark: { value: 0x12, mask: 0xff } }], (send) => {
      expect([0x12, 0xab12, 0x13, 0].map((mark) => send(v4, { mark }).seen?.port)).toEqual([C, C, B, B]);
    });
  });
});

test('a fragment has the ports of its first one; without that, no rule with ports matches', async () => {
  const content = udp({ sport: 5000, dport: 53, payload: 600 });
  await withRules([{ ports: [{ protocol: 'UDP', port: 53 }] }], (send) => {
    for (const addresses of [V4, V6]) {
      const [first, second] = fragments(addresses, content, 400, 77);
      expect([first, second].map((frame) => send(frame ?? v4).seen?.port)).toEqual([C, C]);
      const [, alone] = fragments(addresses, content, 400, 78);
      expect(send(alone ?? v4).seen?.port).toBe(B);
    }
  });
});

test('an ICMP error is what it is itself, not what it quotes', async () => {
  const quoted = ip({ src: V4.dst, dst: V4.src }, UDP).bytes;
  const error = ethernet({}, ip({ src: '203.0.113.1', dst: V4.dst }, icmpError(3, 1, quoted)));
  await withRules([{ ports: [{ protocol: 'UDP' }] }, { ports: [{ protocol: 'UDP', port: 53 }] }], (send) => {
    expect(send(error).seen?.port).toBe(B);
  });
  await withRules([{ protocols: ['ICMP'], sources: ['203.0.113.1/32'] }], (send) => {
    expect(send(error).seen?.port).toBe(C);
  });
});

test('behind extension headers and options the protocol is found', async () => {
  await withRules([{ ports: [{ protocol: 'UDP', port: 53 }] }], (send) => {
    const frames = [
      ethernet({}, ipv6({ ...V6, extensions: [extension(0), extension(60)] }, UDP)),
      ethernet({}, ipv4({ ...V4, options: Buffer.from([1, 1, 1, 0]) }, UDP)),
    ];
    for (const frame of frames) expect(send(frame).seen?.port).toBe(C);
  });
});

test('the lowest priority is tried first, then the first in the list', async () => {
  const to = (port: string) => ({ type: 'Output', output: { port } }) as const;
  await withRules(
    [
      { priority: 20, sources: ['10.0.0.0/8'], action: to('a') },
      { priority: 10, sources: ['10.1.0.0/16'], action: to('c') },
      { priority: 20, sources: ['0.0.0.0/0'], action: to('c') },
    ],
    (send) => {
      const port = (src: string) => send(ethernet({}, ip({ ...V4, src }, UDP))).seen?.port;
      expect(['10.1.0.1', '10.2.0.1', '11.0.0.1'].map(port)).toEqual([C, A, C]);
    },
  );
});

test('dropped by a rule, dropped by default, and handed to the agent', async () => {
  using chain = await Chain.open();
  const cube = await addForwarder(chain, PORTS, {
    rules: [
      rule({ protocols: ['TCP'], action: { type: 'Drop' } }),
      rule({ name: 'odd', protocols: ['47'], action: { type: 'Punt' } }),
    ],
  });
  chain.attach({ kind: 'interface' }, cube, A);
  const punts: Buffer[] = [];
  const ring = new RingBuffer(chain.shared('punts'), () => undefined);
  ring.unref();
  const dropped = (frame: Buffer, options: RunOptions = {}) => {
    const result = chain.run(frame, options);
    expect(result.verdict).toBe(Verdict.drop);
    return result;
  };
  expect(dropped(ethernet({}, ip(V4, tcp({ sport: 1, dport: 2 })))).drops).toEqual([
    'forwarder DroppedByRule',
  ]);
  expect(dropped(v6).drops).toEqual(['forwarder DroppedByDefault']);
  const gre = ethernet({}, ip(V6, raw(47, 30)));
  expect(dropped(gre).drops).toEqual(['forwarder Punted']);
  punts.push(...ring.consume());
  expect(punts.map(decodePunt)).toMatchObject([{ slot: 1, record: { code: 1, port: A } }]);
  // told, not done
  const dry = dropped(gre, { dry: true });
  expect(dry.drops).toEqual([]);
  expect(dry.events.map(({ kind, value }) => `${kind} ${value}`)).toContain('decision 1');
  expect(ring.consume()).toEqual([]);
  ring.close();
});

test('256 rules of two prefixes each are tried to the last', async () => {
  const rules = Array.from({ length: 256 }, (_, i) => ({
    sources: [`10.9.${i}.0/24`, `fd09:${i.toString(16)}::/32`],
  }));
  await withRules(rules, (send) => {
    for (const i of [0, 100, 255]) {
      for (const src of [`10.9.${i}.7`, `fd09:${i.toString(16)}::7`]) {
        const dst = src.includes(':') ? V6.dst : V4.dst;
        expect(send(ethernet({}, ip({ src, dst }, UDP))).seen?.port).toBe(C);
      }
    }
    expect(send(ethernet({}, ip({ ...V4, src: '10.10.0.1' }, UDP))).seen?.port).toBe(B);
  });
});

describe('random rules and packets', () => {
  const prefix4 = fc.constantFrom('0.0.0.0/0', '10.0.0.0/8', '10.1.0.0/16', '10.1.2.3/32', '192.0.2.0/24');
  const prefix6 = fc.constantFrom('::/0', 'fd00::/8', 'fd00:1::/32', '2001:db8::9/128');
  const prefixes = fc.uniqueArray(fc.oneof(prefix4, prefix6), { maxLength: 3 });
  const range = fc.record({
    protocol: fc.constantFrom('TCP' as const, 'UDP' as const, 'SCTP' as const),
    port: fc.constantFrom(1, 53, 80),
    endPort: fc.constantFrom(80, 5000, 65535),
  });
  const some = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
  const aRule = fc.record({
    inPorts: some(fc.uniqueArray(fc.constantFrom(...PORTS), { minLength: 1 })),
    sources: some(prefixes),
    destinations: some(prefixes),
    protocols: some(
      fc.uniqueArray(fc.constantFrom<string>('TCP', 'UDP', 'ICMP', 'ICMPv6', '47'), { maxLength: 2 }),
    ),
    ports: some(fc.array(range, { maxLength: 2 })),
    sourcePorts: some(fc.array(range, { maxLength: 1 })),
    dscp: some(fc.constantFrom(0, 46)),
    mark: some(fc.record({ value: fc.constantFrom(0, 5), mask: fc.constantFrom(1, 0xf) })),
    port: fc.constantFrom(...PORTS),
  });
  const aPacket = fc.record({
    family: fc.constantFrom(4 as const, 6 as const),
    src: fc.nat(3),
    dst: fc.nat(3),
    protocol: fc.constantFrom(
      'TCP' as const,
      'UDP' as const,
      'SCTP' as const,
      'ICMP' as const,
      '47' as const,
    ),
    sport: fc.constantFrom(1, 53, 5000, 65535),
    dport: fc.constantFrom(2, 53, 80, 81),
    dscp: fc.constantFrom(0, 46, 10),
    mark: fc.constantFrom(0, 1, 5),
    port: fc.nat(2),
  });
  type Rule = typeof aRule extends fc.Arbitrary<infer T> ? T : never;
  type Packet = typeof aPacket extends fc.Arbitrary<infer T> ? T : never;
  const hosts = {
    4: ['10.1.2.3', '10.9.9.9', '192.0.2.9', '203.0.113.1'],
    6: ['fd00:1::3', 'fd77::1', '2001:db8::9', '3fff::1'],
  };

  /** By the schema's words: a packet matches when it fulfils every member that is set. */
  function matches(r: Rule, p: Packet): boolean {
    const within = (list: readonly string[] | undefined, host: string) =>
      !list?.length ||
      list.some((text) => {
        const [prefix, address] = [parsePrefix(text), parseAddress(host)];
        return prefix && address && prefix.family === address.family && contains(prefix, address);
      });
    const hasPorts = ['TCP', 'UDP', 'SCTP'].includes(p.protocol);
    const inRange = (list: Rule['ports'], port: number) =>
      (list ?? []).some(
        (one) => hasPorts && one.protocol === p.protocol && port >= one.port && port <= one.endPort,
      );
    const name = p.protocol === 'ICMP' && p.family === 6 ? 'ICMPv6' : p.protocol;
    const service =
      (!r.protocols?.length && !r.ports?.length) || r.protocols?.includes(name) || inRange(r.ports, p.dport);
    return Boolean(
      (!r.inPorts || r.inPorts.includes(PORTS[p.port] ?? '')) &&
        within(r.sources, hosts[p.family][p.src] ?? '') &&
        within(r.destinations, hosts[p.family][p.dst] ?? '') &&
        service &&
        (!r.sourcePorts?.length || inRange(r.sourcePorts, p.sport)) &&
        (r.dscp === undefined || r.dscp === p.dscp) &&
        (r.mark === undefined || ((p.mark ^ r.mark.value) & r.mark.mask) === 0),
    );
  }

  function frameOf(p: Packet): Buffer {
    const addresses = { src: hosts[p.family][p.src] ?? '', dst: hosts[p.family][p.dst] ?? '' };
    const ports = { sport: p.sport, dport: p.dport };
    const content = {
      TCP: () => tcp(ports),
      UDP: () => udp(ports),
      SCTP: () => sctp(ports),
      ICMP: () => echo({ v6: p.family === 6 }),
      '47': () => raw(47, 30),
    }[p.protocol];
    return ethernet(
      {},
      p.family === 4
        ? ipv4({ ...addresses, tos: p.dscp << 2 }, content())
        : ipv6({ ...addresses, trafficClass: p.dscp << 2 }, content()),
    );
  }

  test('leave by the port that a model says', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(aRule, { minLength: 1, maxLength: 6 }),
        fc.array(aPacket, { minLength: 40, maxLength: 40 }),
        async (rules, packets) => {
          const given = rules.map(({ port, ...match }) => {
            const set = Object.entries(match).filter(([, value]) => value !== undefined);
            return { ...Object.fromEntries(set), action: { type: 'Output' as const, output: { port } } };
          });
          const ports = PORTS.map((name, id) => ({ name, id, addresses: [] }));
          const spec = { rules: given.map(rule), defaultAction: { type: 'Drop' as const } };
          fc.pre(desired({ spec, ports }).problems.length === 0);
          await withRules(given, (send) => {
            for (const packet of packets) {
              const first = rules.find((one) => matches(one, packet));
              const { seen } = send(frameOf(packet), { port: packet.port, mark: packet.mark });
              expect([packet, PORTS[seen?.port ?? -1]]).toEqual([packet, first?.port ?? 'b']);
            }
          });
        },
      ),
      { numRuns: 25 },
    );
  });
});
