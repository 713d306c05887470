// SPDX-License-Identifier: Apache-2.0

/**
 * What a Firewall costs a new packet by the number of rules; what a packet of a known session costs is in the suite `cubes`.
 *
 * Every rule has a random source and destination prefix, and a random port of TCP or UDP. Each run of BPF_PROG_TEST_RUN is
 * a packet that matches a random rule, from a random host to a random host of its prefixes. `refused` are dropped by their
 * rule: lookup of the session, classification, counters. `opened` are let through: that and the insertion of a session,
 * into a table so small that hardly any packet finds one.
 */
import { formatAddress } from '../../../src/api/ip.ts';
import { FirewallChain, INSIDE, OUTSIDE, type RuleInput } from '../../kernel/support/firewall.ts';
import { ethernet, ip, tcp, udp } from '../../kernel/support/packet.ts';
import { FAMILIES, type Family } from '../connect.ts';
import type { Suite, SuiteOptions } from '../main.ts';
import { interleave, type Measure, measureOf, ratios } from '../measure.ts';
import { Sender } from '../sender.ts';

const COUNTS = [1, 10, 100, 1000, 5000] as const;
/** 5,000 rules may cost so many times what 10 do. */
const GOAL = 2;

const below = (n: number): number => Math.floor(Math.random() * n);

interface Network {
  readonly prefix: string;
  host(): string;
}

/** Lengths as lists of rules have them: hosts, subnets, and some larger and smaller ones. */
const LENGTHS = { ipv4: [32, 32, 28, 24, 24, 24, 20, 16], ipv6: [128, 128, 64, 64, 64, 56, 48, 48] } as const;

function network(family: Family): Network {
  const length = LENGTHS[family][below(8)] as number;
  const width = family === 'ipv4' ? 32 : 128;
  const bits = (count: number): bigint => {
    let value = 0n;
    for (let i = 0; i < count; i += 16) value = (value << 16n) | BigInt(below(65536));
    return value & ((1n << BigInt(count)) - 1n);
  };
  // 1.0.0.0 to 126.255.255.255, 2001:db8::/32
  const head = family === 'ipv4' ? BigInt(1 + below(126)) << 24n : 0x20010db8n << 96n;
  const rest = BigInt(width - length);
  const base = ((head | bits(width - (family === 'ipv4' ? 8 : 32))) >> rest) << rest;
  const text = (value: bigint) => formatAddress({ family: family === 'ipv4' ? 4 : 6, value });
  return { prefix: `${text(base)}/${length}`, host: () => text(base | bits(width - length)) };
}

interface RandomRule {
  readonly rule: RuleInput;
  frame(): Buffer;
}

function randomRule(family: Family, action: 'Allow' | 'Drop', i: number): RandomRule {
  const [from, to] = [network(family), network(family)];
  const protocol = i % 2 ? 'TCP' : 'UDP';
  const port = 1 + below(65535);
  return {
    rule: {
      name: `r${i}`,
      action,
      sources: [from.prefix],
      destinations: [to.prefix],
      ports: [{ protocol, port }],
    },
    frame() {
      const ports = { sport: 1024 + below(64512), dport: port };
      const l4 = protocol === 'TCP' ? tcp({ ...ports, flags: 'S' }) : udp(ports);
      return ethernet({}, ip({ src: from.host(), dst: to.host() }, l4));
    },
  };
}

function open(spec: object): Promise<FirewallChain> {
  return FirewallChain.open(spec).then((fw) => {
    for (const port of [OUTSIDE, INSIDE]) fw.chain.edge(fw.cube.slot, port, { kind: 'device', target: 1 });
    return fw;
  });
}

async function misses(
  family: Family,
  action: 'Allow' | 'Drop',
  { quick, say }: SuiteOptions,
): Promise<Measure[]> {
  const [rounds, repeat, flows] = quick ? [5, 100_000, 2048] : [21, 500_000, 8192];
  const name = action === 'Allow' ? 'opened' : 'refused';
  const closers: { close(): void }[] = [];
  const alternatives: Record<string, () => number> = {};
  const packets = () => chains.map(({ fw, at }) => [fw.cube.port(OUTSIDE).rxPackets, at] as const);
  const chains: { fw: FirewallChain; at: number }[] = [];
  try {
    for (const count of COUNTS) {
      const rules = Array.from({ length: count }, (_, i) => randomRule(family, action, i));
      const fw = await open({ maxRules: Math.max(512, count), sessions: { maxEmbryonic: 64 } });
      closers.push(fw);
      chains.push({ fw, at: count });
      const [problem] = fw.set(...rules.map(({ rule }) => rule));
      if (problem) throw new Error(problem.message);
      fw.enter(OUTSIDE);
      const frames = Array.from({ length: flows }, () => (rules[below(count)] as RandomRule).frame());
      const sender = await Sender.open(frames.map((frame) => ({ frame, keys: [] })));
      closers.push(sender);
      alternatives[`${count}`] = () => sender.time(fw.chain.entry, repeat);
      alternatives[`${count}-end`] = () => sender.time(sender.end, repeat);
    }
    const values = await interleave(rounds, alternatives, (round) =>
      say(`${name} ${family}: round ${round} of ${rounds}`),
    );
    for (const [seen, at] of packets())
      if (seen !== (rounds + 1) * repeat) throw new Error(`${at} rules: ${seen} packets arrived`);
    for (const { fw, at } of chains) expectFate(fw, action, at);
    const cost = (count: number): number[] =>
      (values[`${count}`] as number[]).map((ns, i) => ns - (values[`${count}-end`]?.[i] as number));
    return [
      ...COUNTS.map((count) =>
        measureOf(
          { name: `firewall.${name}.${count}-rules.${family}`, unit: 'ns', better: 'lower' },
          cost(count),
        ),
      ),
      measureOf(
        { name: `firewall.${name}.5000-to-10.${family}`, unit: 'ratio', better: 'lower', goal: GOAL },
        ratios(cost(5000), cost(10)),
      ),
    ];
  } finally {
    for (const one of closers) one.close();
  }
}

/** A figure counts only if every packet met its rule. */
function expectFate(fw: FirewallChain, action: 'Allow' | 'Drop', count: number): void {
  const tally = fw.cube.tally();
  const drops = [...tally].filter(([name, of]) => name.startsWith('drop') && of > 0);
  const expected = action === 'Drop' ? ['drop firewall DroppedByRule'] : [];
  if (drops.map(([name]) => name).join() !== expected.join())
    throw new Error(`${count} rules: ${JSON.stringify(drops)}`);
}

async function run(options: SuiteOptions): Promise<readonly Measure[]> {
  const measures: Measure[] = [];
  for (const family of FAMILIES) {
    measures.push(...(await misses(family, 'Drop', options)));
    measures.push(...(await misses(family, 'Allow', options)));
  }
  return measures;
}

export const suite: Suite = {
  name: 'firewall',
  summary: 'ns of new packets through a Firewall, by the number of rules',
  run,
};
