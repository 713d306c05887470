// SPDX-License-Identifier: Apache-2.0

/**
 * Cubeplane beside kube-proxy in both modes on a network as Flannel makes it, and beside plain routes: two nodes of each and a
 * host outside, in one run, in turn; with few Services and with many, which a real API server has.
 */
import { openLab } from '../../harness/lab.ts';
import type { Family } from '../connect.ts';
import { interleave, type Measure } from '../measure.ts';
import { buildPingpong } from '../paths.ts';
import { type Laid, layBed } from './bed.ts';
import { type Amounts, type Clients, muchAtOnce, shortQuestions } from './load.ts';
import { measuresOf } from './measures.ts';
import type { Alternative, Metric, Sample, Samples, Way } from './names.ts';
import { METRICS, WAYS } from './names.ts';
import { prepareStarts, serviceStart } from './service-start.ts';
import type { Route } from './site.ts';

export interface Plan {
  readonly family: Family;
  /** Services in the cluster; fewer than those that are asked means these alone. */
  readonly sizes: readonly number[];
  readonly amounts: Amounts;
  /** Rounds of short questions, of streams and floods, of Services that start. */
  readonly rounds: { readonly short: number; readonly much: number; readonly start: number };
  /** Ways of streams and floods, which do not hang on the number of Services: asked with the first and the last size. */
  readonly muchWays: readonly Way[];
  readonly withDirect: boolean;
}

/** Measures all that a plan says, in one lab. */
export async function compare(plan: Plan, say: (line: string) => void): Promise<readonly Measure[]> {
  const pingpong = buildPingpong();
  const { amounts, rounds } = plan;
  const clients: Clients = { pingpong, amounts, say };
  const lab = await openLab('bench network', { log: say });
  let laid: Laid | undefined;
  try {
    laid = await layBed(lab, { family: plan.family, pingpong, withDirect: plan.withDirect, say });
    const measures: Measure[] = [];
    for (const [index, size] of plan.sizes.entries()) {
      await laid.grow(size);
      const services = laid.services();
      say(`${services} Services are in the kernels`);
      const add = (place: string, samples: Samples): void => {
        for (const metric of Object.keys(METRICS) as Metric[])
          measures.push(...measuresOf({ family: plan.family, size: services }, place, metric, samples));
      };
      for (const way of WAYS) {
        add(way, await inTurn(rounds.short, laid.routes[way], (route) => shortQuestions(route, clients)));
        say(`${way}: short questions asked`);
        if (!plan.muchWays.includes(way) || (index > 0 && index < plan.sizes.length - 1)) continue;
        add(way, await inTurn(rounds.much, laid.routes[way], (route) => muchAtOnce(route, clients)));
        say(`${way}: streams and floods sent`);
      }
      add('service', await starts(rounds.start, laid));
      say('new Services answered');
    }
    return measures;
  } catch (error) {
    if (laid !== undefined) say(`dropped by Cubeplane's nodes:\n${await laid.drops()}`);
    throw error;
  } finally {
    await lab.close();
  }
}

async function inTurn(
  rounds: number,
  routes: Partial<Record<Alternative, Route>>,
  ask: (route: Route) => Promise<Sample>,
): Promise<Samples> {
  const entries = Object.entries(routes) as [Alternative, Route][];
  return await interleave(
    rounds,
    Object.fromEntries(entries.map(([name, route]) => [name, () => ask(route)])),
  );
}

async function starts(rounds: number, { bed, sites }: Laid): Promise<Samples> {
  // the first round warms up
  const all = await Promise.all(sites.map((site) => prepareStarts(bed, site, rounds + 1)));
  const entries = sites.map((site, index) => {
    const left = [...(all[index] ?? [])];
    return [site.name, () => serviceStart(left.shift() as (typeof left)[number])] as const;
  });
  const samples = await interleave(rounds, Object.fromEntries(entries));
  for (const service of all.flat()) await service.remove();
  return samples;
}
