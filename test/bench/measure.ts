// SPDX-License-Identifier: Apache-2.0

/** One measured figure: what `npm run bench -- --json FILE` writes, a line each. */
export interface Measure {
  /** Dotted, stable: `chain.one-more-cube`. */
  readonly name: string;
  readonly value: number;
  readonly unit: 'ns' | 'us' | 'ms' | 's' | 'ratio' | 'packets/s' | 'connections/s' | 'Gbit/s' | 'B' | 'MB';
  readonly better: 'lower' | 'higher';
  /** What the project aims at; absent: a figure that stands for itself. */
  readonly goal?: number;
  readonly met?: boolean;
  /** Half the distance between the quartiles of the rounds, in the same unit. */
  readonly spread: number;
  readonly rounds: number;
  /** How to read it, for people. */
  readonly note?: string;
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Linear interpolation between the closest ranks; `q` from 0 to 1. Throws on no values. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) throw new RangeError('quantile of no values');
  const sorted = [...values].sort((a, b) => a - b);
  const position = (sorted.length - 1) * q;
  const low = Math.floor(position);
  const below = sorted[low] as number;
  const above = sorted[Math.min(low + 1, sorted.length - 1)] as number;
  return below + (above - below) * (position - low);
}

/** Makes a measure of the rounds' values: their median, half the interquartile range, and whether the goal is met. */
export function measureOf(
  head: Pick<Measure, 'name' | 'unit' | 'better'> & { goal?: number; note?: string },
  values: readonly number[],
): Measure {
  const value = median(values);
  const met =
    head.goal === undefined ? undefined : head.better === 'lower' ? value <= head.goal : value >= head.goal;
  return {
    ...head,
    value: round(value),
    ...(met === undefined ? {} : { met }),
    spread: round((quantile(values, 0.75) - quantile(values, 0.25)) / 2),
    rounds: values.length,
  };
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

/**
 * Runs alternatives in turn, A B C, A B C, …, so that a drift of the machine's speed reaches all of them alike.
 * The first round warms up and does not count. Resolves to the values of each alternative, in round order.
 */
export async function interleave<Name extends string, Value = number>(
  rounds: number,
  alternatives: Readonly<Record<Name, () => Promise<Value> | Value>>,
  progress: (round: number) => void = () => undefined,
): Promise<Record<Name, Value[]>> {
  const names = Object.keys(alternatives) as Name[];
  const values = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, Value[]>;
  for (let round = 0; round <= rounds; round++) {
    progress(round);
    for (const name of names) {
      const value = await alternatives[name]();
      if (round > 0) values[name].push(value);
    }
  }
  return values;
}

/** What `a` took more than `b` in every round of {@link interleave}. */
export function difference(values: Record<string, number[]>, a: string, b: string): number[] {
  const [more, less] = [values[a], values[b]];
  if (more === undefined || less === undefined) throw new Error(`not both measured: ${a}, ${b}`);
  return more.map((value, index) => value - (less[index] as number));
}

/** a[i] / b[i] for every round: ratios of neighbours in time, which a drifting clock rate does not touch. */
export function ratios(a: readonly number[], b: readonly number[]): number[] {
  return a.map((value, index) => value / (b[index] as number));
}
