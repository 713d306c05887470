// SPDX-License-Identifier: Apache-2.0
/**
 * A process of its own that keeps a cache of labelled ConfigMaps and answers on a unix socket what it holds. The tests
 * cut its network and its API server. Arguments: kubeconfig, socket, idle timeout in ms.
 */
import { createServer } from 'node:http';
import { Cache } from '../../src/k8s/cache.ts';
import { connect } from '../../src/k8s/client.ts';
import { Reflector, type ReflectorHealth } from '../../src/k8s/reflector.ts';
import type { ResourceType } from '../../src/k8s/resource.ts';

export interface WatcherState {
  keys: string[];
  /** Deletions told to a listener, in order. */
  deleted: string[];
  health: ReflectorHealth;
}

const CONFIG_MAPS: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
};

const [, , kubeconfig, socket, idle] = process.argv;
const client = await connect({ kubeconfig });
const cache = new Cache<number>();
const deleted: string[] = [];
cache.onChange((change) => {
  if (change.type === 'deleted') deleted.push(change.key);
});
const reflector = new Reflector<number>({
  client,
  type: CONFIG_MAPS,
  namespace: 'default',
  labelSelector: 'test=watcher',
  cache,
  transform: (_object, bytes) => bytes.length,
  pageSize: 10,
  idleTimeoutMs: Number(idle),
  backoff: { baseMs: 100, maxMs: 1000 },
});
reflector.start();
createServer((_request, response) => {
  const state: WatcherState = { keys: [...cache.keys()].sort(), deleted, health: reflector.health() };
  response.end(JSON.stringify(state));
}).listen(socket, () => console.log('listening'));
