// SPDX-License-Identifier: Apache-2.0
/** A firewall that lets all pass but one pod, and that pod, which tries all the time: a packet of it that comes is wrong. */
import type { Running } from '../../harness/process.ts';
import type { DualStack, Pod } from '../../harness/topology.ts';
import { type Load, startLoad } from '../../harness/traffic.ts';
import { podPrefixes } from './manifests.ts';
import { FAMILIES } from './two-nodes.ts';

/** Number of the pod on the first node that is refused. */
export const OUTCAST = 0x66;

/**
 * The cube as a member of a chain's template. It takes up connections in the middle, and answers whose questions came
 * before it was there: it is put in under load.
 */
export function wall(name: string, more: object = {}): { name: string; type: string; firewall: object } {
  const { ipv4, ipv6 } = podPrefixes(0);
  const outcast = [`${ipv4}${OUTCAST}/32`, `${ipv6}${OUTCAST.toString(16)}/128`];
  const rule = (own: string, priority: number, over: object) => ({
    name: own,
    priority,
    direction: 'Both',
    ...over,
  });
  return {
    name,
    type: 'Firewall',
    firewall: {
      defaultActions: { ingress: 'Allow', egress: 'Allow' },
      rules: [
        rule('from-outcast', 1, { action: 'Drop', sources: outcast }),
        rule('to-outcast', 1, { action: 'Drop', destinations: outcast }),
        rule('unasked', 2, { action: 'Allow', states: ['Invalid'] }),
      ],
      maxRules: 16,
      sessions: { maxEstablished: 8192, maxEmbryonic: 8192 },
      ...more,
    },
  };
}

/** Tries TCP, UDP and, unless told otherwise, echo of both families without pause. */
export class Prober {
  readonly #loads: Record<string, Load>;
  readonly #pings: Record<string, Running>;

  constructor(loads: Record<string, Load>, pings: Record<string, Running>) {
    this.#loads = loads;
    this.#pings = pings;
  }

  static async start(from: Pod, to: DualStack, port: number, echo = true): Promise<Prober> {
    const loads: Record<string, Load> = {};
    const pings: Record<string, Running> = {};
    for (const family of FAMILIES) {
      const address = to[family] ?? '';
      for (const udp of [false, true])
        loads[`${udp ? 'UDP' : 'TCP'} ${family}`] = await startLoad(from.namespace, address, port, {
          every: 50,
          udp,
        });
      if (!echo) continue;
      const argv = ['ping', '-n', '-q', '-i', '0.02', address];
      pings[`echo ${family}`] = await from.namespace.start(`probe-${family}`, argv);
    }
    return new Prober(loads, pings);
  }

  /** Ends it: how often it tried, and what was answered. */
  async end(): Promise<{ tries: number; answered: Record<string, number> }> {
    const answered: Record<string, number> = {};
    let tries = 0;
    const add = (name: string, tried: number, got: number) => {
      tries += tried;
      if (got > 0) answered[name] = got;
    };
    for (const [name, load] of Object.entries(this.#loads)) {
      const { requests, failures } = await load.end();
      add(name, requests + failures.length, requests);
    }
    for (const [name, ping] of Object.entries(this.#pings)) {
      ping.kill('SIGINT');
      await ping.exited();
      const said = await ping.output();
      const [, sent, got] = /(\d+) packets transmitted, (\d+) received/.exec(said.slice(-1000)) ?? [];
      add(name, Number(sent), Number(got));
    }
    return { tries, answered };
  }
}
