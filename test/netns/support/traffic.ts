// SPDX-License-Identifier: Apache-2.0
import type { Running } from '../../harness/process.ts';
import type { DualStack, Pod } from '../../harness/topology.ts';
import { type Load, startLoad } from '../../harness/traffic.ts';
import { vipsOf } from './manifests.ts';
import { PORT } from './services.ts';
import { FAMILIES } from './two-nodes.ts';

/** Traffic from a client through the Service and past it, of which every lost packet shows. */
export class Traffic {
  readonly #loads: Record<string, Load>;
  readonly #pings: Record<string, Running>;

  constructor(loads: Record<string, Load>, pings: Record<string, Running>) {
    this.#loads = loads;
    this.#pings = pings;
  }

  /**
   * `to`: number of the Service, or addresses of a server, asked on `port` over TCP and UDP; the backends are pinged too.
   */
  static async start(
    client: Pod,
    backends: readonly Pod[],
    to: number | DualStack,
    port = PORT,
  ): Promise<Traffic> {
    const addresses = typeof to === 'number' ? vipsOf(to) : to;
    const loads: Record<string, Load> = {};
    const pings: Record<string, Running> = {};
    for (const family of FAMILIES) {
      const address = addresses[family] ?? '';
      loads[`TCP ${family}`] = await startLoad(client.namespace, address, port, { every: 20, long: 8 });
      loads[`UDP ${family}`] = await startLoad(client.namespace, address, port, { every: 10, udp: true });
      for (const pod of backends) {
        const name = `ping-${pod.name}-${family}`;
        const argv = ['ping', '-n', '-q', '-i', '0.01', pod.addresses[family] ?? ''];
        pings[name] = await client.namespace.start(name, argv);
      }
    }
    return new Traffic(loads, pings);
  }

  /** Ends it; what was lost, by kind, and how much was sent. */
  async end(): Promise<{ lost: Record<string, unknown>; requests: number; echoes: number }> {
    const lost: Record<string, unknown> = {};
    let requests = 0;
    let echoes = 0;
    for (const [name, load] of Object.entries(this.#loads)) {
      const report = await load.end();
      requests += report.requests;
      if (report.failures.length > 0) lost[name] = report.failures;
    }
    for (const [name, ping] of Object.entries(this.#pings)) {
      const from = (await ping.output()).length;
      ping.kill('SIGINT');
      await ping.exited();
      const said = (await ping.output()).slice(from);
      const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(said) ?? [];
      echoes += Number(received);
      // The last one may be under way.
      if (!(Number(sent) - Number(received) <= 1)) lost[name] = said.trim();
    }
    return { lost, requests, echoes };
  }
}
