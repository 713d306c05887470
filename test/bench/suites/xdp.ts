// SPDX-License-Identifier: Apache-2.0

/**
 * What a packet costs that the DDoS mitigator drops, or lets go on, at XDP: the entry, which parses it, and the cube, with all
 * counters. Beside it an empty program, because on some machines that alone costs as much as the goals allow.
 */
import { loadObject } from '../../../src/dataplane/kernel/addon/index.ts';
import { objectPath, u32 } from '../../kernel/support/chain.ts';
import { addMitigator, INSIDE, SIZES } from '../../kernel/support/mitigator.ts';
import { ethernet, ip, udp } from '../../kernel/support/packet.ts';
import { XdpChain } from '../../kernel/support/xdp-chain.ts';
import type { Suite, SuiteOptions } from '../main.ts';
import { interleave, type Measure, measureOf, ratios } from '../measure.ts';

/** SPREAD of test/kernel/fixtures/xdp_sources.bpf.c. */
const SPREAD = 0x9e3779b1;
const GOALS = { bare: 50, hash: 150 } as const;

const dotted = (value: number): string =>
  [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.');

async function run({ quick, say }: SuiteOptions): Promise<readonly Measure[]> {
  const rounds = quick ? 7 : 31;
  const repeat = quick ? 200_000 : 2_000_000;
  const count = 1_000_000;
  const frames = {
    ipv4: ethernet({}, ip({ src: '203.0.113.7', dst: '10.0.0.1' }, udp({ sport: 1, dport: 2 }))),
    ipv6: ethernet({}, ip({ src: '2001:db8::7', dst: 'fd00::1' }, udp({ sport: 1, dport: 2 }))),
  };
  using chain = await XdpChain.open();
  using bare = await XdpChain.open();
  using prefixes = await XdpChain.open();
  using sources = await loadObject({
    path: objectPath('xdp_sources'),
    variables: { source_count: u32(count) },
  });
  const big = await addMitigator(chain, { sizes: { ...SIZES, maxSourceHosts: count } });
  const text = Array.from({ length: count }, (_, n) => dotted(Math.imul(2 * n + 1, SPREAD) >>> 0)).join('\n');
  big.set('bench/list', [{ file: 'bench.prefixes', list: 'DenySource', text }]);
  if (big.image.usage().source_hosts?.used !== count) throw new Error('the list is not whole');
  say(`${count} addresses are listed`);
  const cube = await addMitigator(bare);
  const denySources = Array.from({ length: 256 }, (_, n) => `${n}.0.0.0/8`);
  await addMitigator(prefixes, { denySources });

  const through = (program: Parameters<ReturnType<typeof sources.map>['setProgram']>[1]) => () => {
    sources.map('next').setProgram(0, program);
    return sources.program('next_source').testRun({ dataIn: frames.ipv4, repeat }).duration;
  };
  const alone = (family: keyof typeof frames, edge: 'pass' | 'cut') => () => {
    bare.edge(cube.cube.slot, INSIDE, edge);
    return bare.entry.testRun({ dataIn: frames[family], repeat }).duration;
  };
  const empty = sources.program('empty');
  const alternatives = {
    empty: () => empty.testRun({ dataIn: frames.ipv4, repeat }).duration,
    dropV4: alone('ipv4', 'cut'),
    dropV6: alone('ipv6', 'cut'),
    passV4: alone('ipv4', 'pass'),
    passV6: alone('ipv6', 'pass'),
    writing: through(empty),
    hash: through(chain.entry),
    lpm: through(prefixes.entry),
  };
  const denied = () => big.cube.tally().get('drop ddos-mitigator-xdp SourceDenied') ?? 0;
  const before = denied();
  const values = await interleave(rounds, alternatives, (round) => say(`round ${round} of ${rounds}`));
  const dropped = denied() - before;
  if (dropped !== (rounds + 1) * repeat)
    throw new Error(`${dropped} of ${(rounds + 1) * repeat} packets were refused by the list`);
  /** Without the writing of the source, which no real packet pays for. */
  const less = (ns: number[]) =>
    ns.map((value, i) => value - (values.writing[i] ?? 0) + (values.empty[i] ?? 0));
  const ns = (name: string, list: number[], goal?: number): Measure =>
    measureOf(
      { name: `xdp.${name}`, unit: 'ns', better: 'lower', ...(goal === undefined ? {} : { goal }) },
      list,
    );
  const ratio = (name: string, list: number[]): Measure =>
    measureOf({ name: `xdp.${name}.to-empty`, unit: 'ratio', better: 'lower' }, ratios(list, values.empty));
  const [hash, lpm] = [less(values.hash), less(values.lpm)];
  return [
    ns('empty-program', values.empty),
    ns('drop.without-list.ipv4', values.dropV4, GOALS.bare),
    ratio('drop.without-list.ipv4', values.dropV4),
    ns('drop.without-list.ipv6', values.dropV6, GOALS.bare),
    ratio('drop.without-list.ipv6', values.dropV6),
    ns('pass.without-list.ipv4', values.passV4),
    ns('pass.without-list.ipv6', values.passV6),
    ns(`drop.hash-of-${count}`, hash, GOALS.hash),
    ratio(`drop.hash-of-${count}`, hash),
    ns('drop.lpm-of-256', lpm),
    ratio('drop.lpm-of-256', lpm),
  ];
}

export const suite: Suite = {
  name: 'xdp',
  summary:
    'ns of a packet that the DDoS mitigator drops at XDP: without a list, by a hash of a million addresses, by prefixes',
  run,
};
