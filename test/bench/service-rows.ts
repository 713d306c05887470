// SPDX-License-Identifier: Apache-2.0

/** Services of a small cluster, as rows of Service tables: each of a TCP and a UDP port, backed by pods of this node. */
import { FAMILIES, type Family } from './connect.ts';
import { NODE } from './load.ts';

export const SERVICES = 64;
export const BACKENDS = 4;
/** Addresses of pods that stand behind them. */
export const PODS = 250;
const PORT = 80;
/** Port of a backend. */
export const TARGET = 8080;

export const vip = (family: Family, n: number): string =>
  family === 'ipv4' ? `10.96.0.${n + 1}` : `fd00:96::${(n + 1).toString(16)}`;

export const backendOf = (family: Family, n: number): string => {
  const pod = n % PODS;
  return family === 'ipv4' ? `10.244.2.${pod + 2}` : `fd00:244:0:2::${(pod + 2).toString(16)}`;
};

function service(family: Family, n: number): unknown {
  return {
    namespace: 'default',
    name: `${family}-${n}`,
    frontends: ['TCP', 'UDP'].map((protocol) => ({
      name: protocol.toLowerCase(),
      addresses: [vip(family, n)],
      port: PORT,
      protocol,
      scope: 'ClusterIP',
      affinity: { type: 'None', timeoutSeconds: 10800 },
      sourceRanges: [],
      trafficPolicy: 'Cluster',
    })),
    backends: Array.from({ length: BACKENDS }, (_, i) => ({
      address: backendOf(family, n * BACKENDS + i),
      weight: 1,
      state: 'Ready',
      node: NODE.name,
      ports: ['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), port: TARGET, protocol })),
    })),
  };
}

/** One table a Service, as the operator makes them; of both families. */
export function serviceTables(): Record<string, readonly unknown[]> {
  const rows = FAMILIES.flatMap((family) =>
    Array.from({ length: SERVICES }, (_, n) => [`bench/${family}-${n}`, [service(family, n)]] as const),
  );
  return Object.fromEntries(rows);
}
