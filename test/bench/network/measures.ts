// SPDX-License-Identifier: Apache-2.0

import type { Family } from '../connect.ts';
/** What becomes of the rounds: a figure for each alternative, and ratios of Cubeplane to what it is to be compared with. Pure. */
import { type Measure, measureOf, ratios } from '../measure.ts';
import { ALTERNATIVES, METRICS, type Metric, type Samples, SUITES } from './names.ts';

const OURS = ['cubeplane', 'cubeplane-direct'] as const;
const OTHERS = ['plain', 'iptables', 'nftables'] as const;
/** Metrics with a goal, which is to be no worse than kube-proxy. The 99th percentiles have none: they are the machine's more than the network's. */
const GOALS: readonly Metric[] = [
  'tcp-p50',
  'udp-p50',
  'connects',
  'first-packet',
  'cpu-packet',
  'stream-1',
  'stream-8',
];

/**
 * Named `SUITE.SIZE.PLACE.METRIC.ALTERNATIVE`, and `….cubeplane/iptables` for the ratio, taken round by round. `size` counts
 * Services. Alternatives that have no such way are absent.
 */
export function measuresOf(
  { family, size }: { readonly family: Family; readonly size: number },
  place: string,
  metric: Metric,
  samples: Samples,
): Measure[] {
  const { unit, better } = METRICS[metric];
  const prefix = `${SUITES[family]}.${size}.${place}.${metric}`;
  const valuesOf = (name: (typeof ALTERNATIVES)[number]): number[] | undefined => {
    const values = samples[name]?.map((sample) => sample[metric]);
    return values?.every((value) => value !== undefined) && values.length > 0 ? values : undefined;
  };
  const measures: Measure[] = [];
  for (const name of ALTERNATIVES) {
    const values = valuesOf(name);
    if (values !== undefined) measures.push(measureOf({ name: `${prefix}.${name}`, unit, better }, values));
  }
  for (const ours of OURS) {
    for (const other of OTHERS) {
      const [a, b] = [valuesOf(ours), valuesOf(other)];
      if (a === undefined || b === undefined) continue;
      const isGoal = ours === 'cubeplane' && other !== 'plain' && GOALS.includes(metric);
      const head = { name: `${prefix}.${ours}/${other}`, unit: 'ratio', better } as const;
      measures.push(measureOf(isGoal ? { ...head, goal: 1 } : head, ratios(a, b)));
    }
  }
  return measures;
}
