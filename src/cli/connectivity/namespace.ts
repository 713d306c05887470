// SPDX-License-Identifier: Apache-2.0
/** The namespace of a test: all that it creates goes with it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeClient } from '../../k8s/client.ts';
import { NAMESPACES, PODS } from '../../k8s/resource.ts';
import { CliError, EXIT } from '../errors.ts';
import { namespaceObject, OWN_LABEL, OWN_VALUE } from './objects.ts';

type Say = (line: string) => void;

const LOOK_MS = 300;
/** A namespace ends when its pods have ended. */
const END_MS = 60_000;

/** @throws CliError for one that is somebody else's. */
export async function takeNamespace(
  client: KubeClient,
  name: string,
  signal: AbortSignal,
  say: Say,
): Promise<void> {
  const found = await client.get(NAMESPACES, { name });
  if (found !== undefined) {
    if (found.metadata.labels?.[OWN_LABEL] !== OWN_VALUE)
      throw new CliError(
        EXIT.refused,
        `namespace ${name} is none of this test: it has no label ${OWN_LABEL}=${OWN_VALUE}`,
        'give --namespace NAME of one that does not exist: it is created, and deleted at the end',
      );
    say(`namespace ${name} of an earlier run is removed first`);
    if (!(await removeNamespace(client, name, say)))
      throw new CliError(
        EXIT.failure,
        `namespace ${name} of an earlier run does not go`,
        `kubectl get pods -n ${name} says what is left; or give --namespace NAME of another one`,
      );
  }
  signal.throwIfAborted();
  await client.create(NAMESPACES, namespaceObject(name));
}

/** Returns whether it is gone. */
export async function removeNamespace(client: KubeClient, name: string, say: Say): Promise<boolean> {
  const deadline = Date.now() + END_MS;
  // pods first: a namespace that finds some when it ends looks again only much later
  for (const { metadata } of await client.listAll(PODS, { namespace: name }))
    await client.delete(PODS, { namespace: name, name: metadata.name ?? '' });
  const hasPods = async () => (await client.listAll(PODS, { namespace: name })).length > 0;
  while (Date.now() < deadline && (await hasPods())) await sleep(LOOK_MS);
  await client.delete(NAMESPACES, { name });
  for (; Date.now() < deadline; await sleep(LOOK_MS))
    if ((await client.get(NAMESPACES, { name })) === undefined) return true;
  say(`namespace ${name} is being deleted, but was not gone within ${END_MS / 1000} s`);
  return false;
}
