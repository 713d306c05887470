// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { draw } from './draw.ts';
import { measuresOf } from './measures.ts';
import type { Samples } from './names.ts';
import { plotsOf } from './plots.ts';
import { networkTables } from './table.ts';

const SAMPLES: Samples = {
  plain: [{ 'tcp-p50': 8 }, { 'tcp-p50': 10 }, { 'tcp-p50': 30 }],
  iptables: [{ 'tcp-p50': 10 }, { 'tcp-p50': 20 }, { 'tcp-p50': 40 }],
  nftables: [{ 'tcp-p50': 9 }, { 'tcp-p50': 10 }, { 'tcp-p50': 20 }],
  cubeplane: [{ 'tcp-p50': 9 }, { 'tcp-p50': 10 }, { 'tcp-p50': 36 }],
};
const of = (size: number) => ({ family: 'ipv4', size }) as const;
const MEASURES = measuresOf(of(1_000), 'service-same', 'tcp-p50', SAMPLES);

test('a figure an alternative, and ratios of the rounds, not of the medians', () => {
  expect(MEASURES.map(({ name, value, unit, met }) => [name, value, unit, met])).toEqual([
    ['network.1000.service-same.tcp-p50.plain', 10, 'us', undefined],
    ['network.1000.service-same.tcp-p50.iptables', 20, 'us', undefined],
    ['network.1000.service-same.tcp-p50.nftables', 10, 'us', undefined],
    ['network.1000.service-same.tcp-p50.cubeplane', 10, 'us', undefined],
    ['network.1000.service-same.tcp-p50.cubeplane/plain', 1.125, 'ratio', undefined],
    ['network.1000.service-same.tcp-p50.cubeplane/iptables', 0.9, 'ratio', true],
    ['network.1000.service-same.tcp-p50.cubeplane/nftables', 1, 'ratio', true],
  ]);
});

test('of what is better when it is higher, the goal is to be no lower', () => {
  const measures = measuresOf(of(1), 'pod-same', 'connects', {
    iptables: [{ connects: 100 }],
    cubeplane: [{ connects: 90 }],
  });
  const ratio = measures.find(({ name }) => name.endsWith('cubeplane/iptables'));
  expect(ratio).toMatchObject({ value: 0.9, better: 'higher', goal: 1, met: false });
});

test('what was not measured is left out', () => {
  expect(measuresOf(of(1), 'pod-same', 'stream-1', SAMPLES)).toEqual([]);
});

test('a table a number of Services, a row a way and metric, missed goals in bold', () => {
  const slow = measuresOf(of(1_000), 'pod-same', 'tcp-p50', {
    ...SAMPLES,
    plain: [],
    cubeplane: [{ 'tcp-p50': 12 }],
  });
  expect(networkTables([...MEASURES, ...slow]).split('\n')).toEqual([
    '#### 1000 Services',
    '',
    '|  | plain | iptables | nftables | cubeplane | cubeplane/iptables | cubeplane/nftables |',
    '|---|---:|---:|---:|---:|---:|---:|',
    '| service-same.tcp-p50, us | 10 ± 5.5 | 20 ± 7.5 | 10 ± 2.75 | 10 ± 6.75 | 0.9 ± 0.1 | 1 ± 0.2 |',
    '| pod-same.tcp-p50, us |  | 20 ± 7.5 | 10 ± 2.75 | 12 ± 0 | **1.2 ± 0** | **1.333 ± 0** |',
  ]);
});

test('plots: the ways with the most Services, and by their number what hangs on it', () => {
  const connects = (size: number, place: string) =>
    measuresOf(of(size), place, 'connects', { iptables: [{ connects: 9 }], cubeplane: [{ connects: 10 }] });
  const plots = plotsOf([
    ...connects(31, 'service-other'),
    ...connects(1_000, 'service-same'),
    ...connects(1_000, 'service-other'),
  ]);
  expect(plots.map(({ file, groups }) => [file, groups])).toEqual([
    ['connects', ['service-same', 'service-other']],
    ['connects-service-same-by-size', ['1000']],
    ['connects-service-other-by-size', ['31', '1000']],
  ]);
  expect(plots[2]?.series.map(({ name, bars }) => [name, bars.map((bar) => bar?.value)])).toEqual([
    ['iptables', [9, 9]],
    ['cubeplane', [10, 10]],
  ]);
});

test('a plot is drawn alike each time, with its words in it', () => {
  const [plot] = plotsOf(MEASURES);
  if (plot === undefined) throw new Error('no plot');
  const svg = draw(plot);
  expect(svg).toBe(draw(plot));
  expect(svg).toMatch(/^<svg /);
  for (const word of ['1000 Services', 'cubeplane', 'iptables', 'service-same', 'us, lower is better'])
    expect(svg).toContain(word);
});
