// SPDX-License-Identifier: Apache-2.0
import { KubeClient } from '../../../src/k8s/client.ts';
import type { Cluster } from './cluster.ts';

/** The client of operator and agents, as the administrator, from any network namespace. */
export function adminClient({ proxySocket }: Cluster): KubeClient {
  return new KubeClient({
    server: 'http://localhost',
    namespace: 'default',
    socketPath: proxySocket,
    tls: async () => ({}),
    headers: async () => ({}),
  });
}
