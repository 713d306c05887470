// SPDX-License-Identifier: Apache-2.0
/**
 * Measures the time from the write of an EndpointSlice to the arrival of its CubeTable in a reflector, as an agent has
 * one. Arguments: kubeconfig, number of rounds. Prints one line of JSON: milliseconds, in order.
 */
import { EventEmitter, once } from 'node:events';
import type { CubeTableSpec } from '../../src/api/generated/types.ts';
import { Cache } from '../../src/k8s/cache.ts';
import { connect } from '../../src/k8s/client.ts';
import { Reflector } from '../../src/k8s/reflector.ts';
import { CUBE_TABLES, ENDPOINT_SLICES, SERVICES } from '../../src/k8s/resource.ts';

const [, , kubeconfig, rounds] = process.argv;
const client = await connect({ kubeconfig });
const arrivals = new EventEmitter();
const cache = new Cache<string>();
cache.onChange((change) => {
  if (change.type !== 'deleted') arrivals.emit(change.value, performance.now());
});
/** The table's first backend is what each round changes. */
const transform = (object: { spec?: unknown }): string | undefined => {
  const spec = object.spec as CubeTableSpec;
  return spec.type === 'Service' ? (spec.services[0]?.backends[0]?.address ?? 'none') : undefined;
};
const reflector = new Reflector<string>({
  client,
  type: CUBE_TABLES,
  namespace: 'cubeplane-system',
  cache,
  transform,
});

const slice = (address: string) => ({
  metadata: { namespace: 'default', name: 'latency-1', labels: { 'kubernetes.io/service-name': 'latency' } },
  addressType: 'IPv4',
  ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
  endpoints: [{ addresses: [address] }],
});
await client.create(SERVICES, {
  metadata: { namespace: 'default', name: 'latency' },
  spec: { ports: [{ name: 'http', port: 80 }] },
});
await client.create(ENDPOINT_SLICES, slice('10.99.0.0'));
reflector.start();
await cache.synced;
const times: number[] = [];
for (let round = 1; round <= Number(rounds); round++) {
  const address = `10.99.${round >> 8}.${round & 255}`;
  const arrived = once(arrivals, address, { signal: AbortSignal.timeout(10_000) }) as Promise<[number]>;
  const start = performance.now();
  await client.replace(ENDPOINT_SLICES, slice(address));
  times.push((await arrived)[0] - start);
}
console.log(JSON.stringify(times));
await reflector.stop();
await client.close();
