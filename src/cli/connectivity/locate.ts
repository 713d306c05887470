// SPDX-License-Identifier: Apache-2.0
/** Where packets of paths that do not work end, by dry runs at the agents. */
import type { KubeClient } from '../../k8s/client.ts';
import { PODS } from '../../k8s/resource.ts';
import type { Agents } from './agents.ts';
import { firstAsk, follow, placeOf } from './legs.ts';
import type { PodObject } from './pods.ts';
import { verdictOf } from './probe.ts';
import { CLIENT_ADDRESS } from './probes.ts';
import type { Tried } from './report.ts';
import { addressesOf, addressOf, type Stage } from './stage.ts';

/** Paths of which a trace is made; the others fail for the same reasons, mostly. */
const MOST_TRACES = 40;

export async function locate(
  client: KubeClient,
  agents: Agents,
  stage: Stage,
  tried: readonly Tried[],
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<Tried[]> {
  const isBad = ({ probe, outcome }: Tried) => !verdictOf(probe.expect, outcome).passed;
  const bad = new Set(tried.filter(isBad).slice(0, MOST_TRACES));
  if (bad.size === 0) return [...tried];
  say(`traces of ${bad.size} paths that do not work`);
  const pods = new Map(
    (await client.listAll<PodObject>(PODS, { namespace: stage.namespace })).map((pod) => [
      pod.metadata.name,
      addressesOf((pod.status?.podIPs ?? []).map(({ ip }) => ip)),
    ]),
  );
  const located: Tried[] = [];
  for (const one of tried) {
    signal.throwIfAborted();
    const { trace: start, family = 4, client: name, kind } = one.probe;
    const source = start?.source === CLIENT_ADDRESS ? addressOf(pods.get(name), family) : start?.source;
    if (start === undefined || source === undefined || !bad.has(one)) located.push(one);
    else {
      const first = firstAsk({ ...start, source }, kind === 'UDP' ? 'udp' : 'tcp');
      const trace = await follow(first, stage.nodes, (ask) => agents.trace(ask));
      located.push({ ...one, trace, place: placeOf(trace) });
    }
  }
  return located;
}
