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

/** Of the node that clients outside reach. */
export const NODE_ADDRESSES = { ipv4: '192.0.2.10', ipv6: '2001:db8:a::10' } as const;

/** Where they reach a Service: every other one at a port of the node, the rest at addresses of their own. */
export const outsideEnd = (family: Family, n: number): { address: string; port: number } => {
  if (n % 2 === 1) return { address: NODE_ADDRESSES[family], port: 30_000 + n };
  const address = family === 'ipv4' ? `203.0.113.${n + 1}` : `2001:db8:b::${(n + 1).toString(16)}`;
  return { address, port: PORT };
};

interface Where {
  readonly scope: string;
  readonly addresses: readonly string[];
  readonly port: number;
}

function service(family: Family, n: number, isOutside: boolean): unknown {
  const { address, port } = outsideEnd(family, n);
  const where: Where[] = [{ scope: 'ClusterIP', addresses: [vip(family, n)], port: PORT }];
  if (isOutside && n % 2 === 1) where.push({ scope: 'NodePort', addresses: [], port });
  else if (isOutside) where.push({ scope: 'LoadBalancer', addresses: [address], port });
  return {
    namespace: 'default',
    name: `${family}-${n}`,
    frontends: where.flatMap((one) =>
      ['TCP', 'UDP'].map((protocol) => ({
        ...one,
        name: protocol.toLowerCase(),
        protocol,
        affinity: { type: 'None', timeoutSeconds: 10800 },
        sourceRanges: [],
        trafficPolicy: 'Cluster',
      })),
    ),
    backends: Array.from({ length: BACKENDS }, (_, i) => ({
      address: backendOf(family, n * BACKENDS + i),
      weight: 1,
      state: 'Ready',
      node: NODE.name,
      ports: ['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), port: TARGET, protocol })),
    })),
  };
}

/** One table a Service, as the operator makes them; of both families. `isOutside`: clients outside reach them, too. */
export function serviceTables(isOutside = false): Record<string, readonly unknown[]> {
  const rows = FAMILIES.flatMap((family) =>
    Array.from(
      { length: SERVICES },
      (_, n) => [`bench/${family}-${n}`, [service(family, n, isOutside)]] as const,
    ),
  );
  return Object.fromEntries(rows);
}
