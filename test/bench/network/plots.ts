// SPDX-License-Identifier: Apache-2.0

/** Which plots the measures of one of the suites `network` make. Pure. */
import type { Measure } from '../measure.ts';
import { ALTERNATIVES, METRICS, type Metric, SUITES, WAYS } from './names.ts';

/** Groups of bars. */
export interface Plot {
  /** Name of the file, without its ending. */
  readonly file: string;
  readonly title: string;
  readonly unit: string;
  readonly groups: readonly string[];
  readonly series: readonly {
    readonly name: string;
    /** By group; undefined: there is none. */
    readonly bars: readonly ({ readonly value: number; readonly spread: number } | undefined)[];
  }[];
}

/** A figure of one alternative, taken from the name of its measure. */
interface Figure {
  readonly size: number;
  readonly place: string;
  readonly metric: string;
  readonly alternative: string;
  readonly measure: Measure;
}

const TITLES: Readonly<Record<Metric, string>> = {
  'tcp-p50': 'TCP, one byte there and back, median',
  'tcp-p99': 'TCP, one byte there and back, 99th percentile',
  'udp-p50': 'UDP, one byte there and back, median',
  'udp-p99': 'UDP, one byte there and back, 99th percentile',
  connects: 'New TCP connections, one byte there and back each',
  'first-packet': 'First datagram of a new flow, there and back',
  'cpu-packet': 'Processor time a packet, frames of 64 bytes',
  'stream-1': 'TCP, one stream',
  'stream-8': 'TCP, eight streams',
  'service-start': 'From the EndpointSlice to the first answer of the Service',
};
/** Metrics that are shown by the number of Services, and where. */
const BY_SIZE: readonly (readonly [Metric, string])[] = [
  ['connects', 'service-same'],
  ['connects', 'service-other'],
  ['first-packet', 'service-other'],
  ['service-start', 'service'],
];

/** Plots of what there is: one a metric with its ways, with the most Services it was measured with; and some by that number. */
export function plotsOf(measures: readonly Measure[]): Plot[] {
  const figures = measures.flatMap(figureOf);
  const plots: Plot[] = [];
  for (const metric of Object.keys(METRICS) as Metric[]) {
    const own = figures.filter((figure) => figure.metric === metric && figure.place !== 'service');
    const size = Math.max(...own.map((figure) => figure.size));
    const most = own.filter((figure) => figure.size === size);
    const groups = WAYS.filter((way) => most.some(({ place }) => place === way));
    if (groups.length === 0) continue;
    const title = `${TITLES[metric]}; ${size} Services`;
    plots.push(plot(metric, metric, title, groups, most, ({ place }) => place));
  }
  for (const [metric, place] of BY_SIZE) {
    const own = figures.filter((figure) => figure.metric === metric && figure.place === place);
    const sizes = [...new Set(own.map(({ size }) => size))].sort((a, b) => a - b).map(String);
    if (sizes.length === 0) continue;
    const title = `${TITLES[metric]}${place === 'service' ? '' : `, ${place}`}, by Services in the cluster`;
    plots.push(plot(`${metric}-${place}-by-size`, metric, title, sizes, own, ({ size }) => String(size)));
  }
  return plots;
}

function plot(
  file: string,
  metric: Metric,
  title: string,
  groups: readonly string[],
  figures: readonly Figure[],
  groupOf: (figure: Figure) => string,
): Plot {
  const { unit, better } = METRICS[metric];
  const series = ALTERNATIVES.flatMap((name) => {
    const own = figures.filter(({ alternative }) => alternative === name);
    if (own.length === 0) return [];
    const bars = groups.map((group) => own.find((figure) => groupOf(figure) === group)?.measure);
    return [{ name, bars }];
  });
  return { file, title, unit: `${unit}, ${better} is better`, groups, series };
}

/** Whether it is of one of these suites, whichever the family. */
export function isOfNetwork({ name }: Measure): boolean {
  return Object.values(SUITES).some((suite) => name.startsWith(`${suite}.`));
}

function figureOf(measure: Measure): Figure[] {
  const [, size, place, metric, alternative] = measure.name.split('.');
  if (!isOfNetwork(measure) || alternative === undefined || alternative.includes('/')) return [];
  return [{ size: Number(size), place: place ?? '', metric: metric ?? '', alternative, measure }];
}
