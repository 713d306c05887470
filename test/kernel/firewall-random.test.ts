// SPDX-License-Identifier: Apache-2.0
/**
 * Random rules met by random packets, compared with a model that tries rule after rule: which one decided is told by its
 * counter. FIREWALL_SEED=n repeats a run.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { FirewallRule, PortRange } from '../../src/api/generated/types.ts';
import { identityOf } from '../../src/cubes/firewall/rule-meaning.ts';
import { Verdict } from './support/chain.ts';
import { FirewallChain, INSIDE, OUTSIDE, rulesOf } from './support/firewall.ts';
import { addressOf, type ModelPacket, modelRule } from './support/firewall-model.ts';
import { echo, ethernet, icmp, ip, type Layer4, raw, sctp, sctpChunk, tcp, udp } from './support/packet.ts';

const SEED = Number(process.env.FIREWALL_SEED ?? Date.now() % 1_000_000);

/** Mulberry32. */
class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * n);
  }
  chance(share: number): boolean {
    return this.below(1000) < share * 1000;
  }
  pick<Item>(list: readonly Item[]): Item {
    return list[this.below(list.length)] as Item;
  }
  list<Item>(most: number, make: () => Item): Item[] {
    return Array.from({ length: this.below(most + 1) }, make);
  }
}

/** Addresses that are close to each other, so that prefixes nest and packets hit them. */
function address(r: Random, family: 4 | 6): string {
  if (family === 4) return `10.${r.below(3)}.${r.below(4)}.${r.below(6)}`;
  return `fd00:${r.below(3).toString(16)}:0:${r.below(4).toString(16)}::${(r.below(6) + 1).toString(16)}`;
}

function prefix(r: Random, family: 4 | 6): string {
  const width = family === 4 ? 32 : 128;
  const length = r.chance(0.3)
    ? width
    : r.pick(family === 4 ? [0, 8, 15, 16, 24, 30, 31] : [0, 8, 30, 32, 64, 65, 126, 127]);
  const shift = BigInt(width - length);
  const value = (addressOf(address(r, family)).value >> shift) << shift;
  if (family === 4) return `${[24n, 16n, 8n, 0n].map((s) => (value >> s) & 255n).join('.')}/${length}`;
  const groups = Array.from({ length: 8 }, (_, i) =>
    ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16),
  );
  return `${groups.join(':')}/${length}`;
}

const PORTS = [1, 22, 53, 79, 80, 81, 255, 256, 257, 1023, 8000, 65535];
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;

function portRange(r: Random, protocol: (typeof PROTOCOLS)[number]): PortRange {
  if (r.chance(0.1)) return { protocol };
  const [port, end] = [r.pick(PORTS), r.pick(PORTS)].sort((a, b) => a - b) as [number, number];
  return r.chance(0.5) ? { protocol, port } : { protocol, port, endPort: end };
}

function rule(r: Random, name: string): FirewallRule {
  const families = r.pick([[4], [6], [4, 6]] as const);
  const protocol = r.pick(PROTOCOLS);
  const kind = r.below(6);
  return rulesOf([
    {
      name,
      action: r.pick(['Allow', 'Drop']),
      priority: r.below(20),
      direction: r.pick(['Ingress', 'Egress', 'Both']),
      sources: r.chance(0.6)
        ? families.flatMap((family) => [prefix(r, family), ...r.list(2, () => prefix(r, family))])
        : [],
      destinations: r.chance(0.6) ? families.flatMap((family) => [prefix(r, family)]) : [],
      ...(kind === 0 ? { protocols: [r.pick(['TCP', 'UDP', 'ICMP', 'ICMPv6', '47', '6', '0'])] } : {}),
      ...(kind === 1 || kind === 2
        ? { ports: [portRange(r, protocol), ...r.list(3, () => portRange(r, protocol))] }
        : {}),
      ...(kind === 2 || kind === 3 ? { sourcePorts: [portRange(r, protocol)] } : {}),
      ...(kind === 4
        ? {
            icmp: [
              {
                family: r.pick(['IPv4', 'IPv6'] as const),
                type: r.pick([8, 13, 128, 139]),
                ...(r.chance(0.5) ? { code: r.below(2) } : {}),
              },
            ],
          }
        : {}),
      ...(kind === 5
        ? {
            tcpFlags: {
              mask: ['SYN', r.pick(['PSH', 'ECE', 'URG'] as const)],
              set: r.chance(0.8) ? (['SYN'] as const).slice() : [],
            },
          }
        : {}),
      ...(r.chance(0.2) ? { states: [r.pick(['New', 'Invalid'] as const)] } : {}),
    } as never,
  ])[0] as FirewallRule;
}

interface Sent {
  readonly frame: Buffer;
  readonly packet: ModelPacket;
}

/** A packet that opens something: its state is New. */
function packet(r: Random): Sent {
  const family = r.pick([4, 6] as const);
  const [src, dst] = [address(r, family), address(r, family)];
  const [sport, dport] = [r.pick(PORTS), r.pick(PORTS)];
  const flags = `S${r.pick(['', 'P', 'E', 'U', 'C'])}`;
  const v6 = family === 6;
  const [icmpType, icmpCode] = [r.pick(v6 ? [128, 139] : [8, 13]), r.below(3)];
  const other = r.pick([47, 50, 89]);
  const protocol = r.pick([6, 6, 17, 132, v6 ? 58 : 1, other]);
  const isIcmp = protocol === 1 || protocol === 58;
  const l4: Layer4 =
    protocol === 6
      ? tcp({ sport, dport, flags })
      : protocol === 17
        ? udp({ sport, dport })
        : protocol === 132
          ? sctp({ sport, dport, chunks: [sctpChunk(1, Buffer.alloc(16))] })
          : isIcmp && icmpCode === 0 && (icmpType === 8 || icmpType === 128)
            ? echo({ v6 })
            : isIcmp
              ? icmp({ type: icmpType, code: icmpCode, v6 })
              : raw(other, 20);
  return {
    frame: ethernet({}, ip({ src, dst }, l4)),
    packet: {
      family,
      src: addressOf(src).value,
      dst: addressOf(dst).value,
      protocol,
      sport: isIcmp ? 0 : sport,
      dport: isIcmp ? 0 : dport,
      icmpType: isIcmp ? icmpType : -1,
      icmpCode,
      flags,
    },
  };
}

const SPEC = {
  defaultActions: { ingress: 'Drop', egress: 'Drop' },
  sessions: { maxEstablished: 64, maxEmbryonic: 64 },
};
let fw: FirewallChain;
let large: FirewallChain;
beforeAll(async () => {
  fw = await FirewallChain.open(SPEC);
  large = await FirewallChain.open({ ...SPEC, maxRules: 5120 });
});
afterAll(() => {
  fw.close();
  large.close();
});

/** Names of the rules that have decided since the counters were cleared. */
function decided(rules: readonly FirewallRule[]): string[] {
  const names = new Map(rules.map((one) => [identityOf(one), one.name as string]));
  const { count, keys } = fw.cube.map('rule_counters').dumpSync();
  return Array.from({ length: count }, (_, i) => {
    const identity = Number(keys.readBigUInt64LE(i * 8));
    return names.get(identity) ?? `rule ${identity}`;
  });
}

test.each([1, 3, 10, 64, 65, 200])('of %i random rules the right one decides', (count) => {
  const r = new Random(SEED + count);
  for (let round = 0; round < 3; round++) {
    const rules = Array.from({ length: count }, (_, i) => rule(r, `r${round}-${count}-${i}`));
    const problems = fw.set(...rules).filter(({ reason }) => reason !== 'RuleMatchesNothing');
    expect(problems).toEqual([]);
    for (let i = 0; i < 500; i++) {
      fw.clear();
      const { frame, packet: p } = packet(r);
      const direction = r.pick(['Ingress', 'Egress'] as const);
      const expected = modelRule(rules, direction, p);
      fw.enter(direction === 'Ingress' ? OUTSIDE : INSIDE);
      const { retval } = fw.chain.entry.testRun({ dataIn: frame });
      const verdict = expected ? `${expected.action} by ${expected.name}` : 'default';
      const [by] = decided(rules);
      const got = by === undefined ? 'default' : `${retval === Verdict.drop ? 'Drop' : 'Allow'} by ${by}`;
      expect({
        seed: SEED,
        count,
        round,
        i,
        direction,
        packet: { ...p, src: `${p.src}`, dst: `${p.dst}` },
        got,
      }).toEqual({
        seed: SEED,
        count,
        round,
        i,
        direction,
        packet: expect.anything(),
        got: verdict,
      });
    }
  }
});

test('of 5,000 rules, each for a host and a port, some decide about their packets, and replacing all is whole', () => {
  const host = (i: number) => `10.${i >> 8}.${i & 255}.1`;
  const rules = rulesOf(
    Array.from({ length: 5000 }, (_, i) => ({
      name: `h${i}`,
      action: 'Allow',
      sources: [`${host(i)}/32`],
      ports: [{ protocol: 'TCP', port: 1 + i }],
    })),
  );
  expect(large.set(...rules)).toEqual([]);
  expect(large.image.usage().rules).toEqual({ used: 5000, max: 5120 });
  const send = (i: number, port = 1 + i) =>
    large.ingress(
      ethernet({}, ip({ src: host(i), dst: '10.0.0.9' }, tcp({ sport: 9, dport: port, flags: 'S' }))),
    );
  for (let i = 0; i < 5000; i += 250) {
    expect(send(i).drops).toEqual([]);
    expect(large.counter(rules[i] as FirewallRule).packets).toBe(1);
    expect(send(i, 2 + i).drops).toEqual(['firewall DroppedByDefault']);
  }
  expect(send(4999).drops).toEqual([]);
  large.set(...rules.map((one) => ({ ...one, action: 'Drop' as const })));
  expect(send(4999).drops).toEqual(['firewall DroppedByRule']);
  expect(large.cube.map('addresses').dumpSync().count).toBe(5000);
});
