// SPDX-License-Identifier: Apache-2.0
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError } from './api.ts';
import type { Cluster } from './cluster.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
/** The namespace of the operator, the agents and the provider's objects. */
export const SYSTEM_NAMESPACE = 'cubeplane-system';
const AGENT_USER = `system:serviceaccount:${SYSTEM_NAMESPACE}:cubeplane-agent`;
const TOKEN_SECONDS = 24 * 3600;

/** Installs Cubeplane's API as a user would: CRDs, namespace, roles and admission policy; waits until all are in force. */
export async function installApi(cluster: Cluster): Promise<void> {
  const crds = join(ROOT, 'crds');
  if (!readdirSync(crds).some((name) => name.endsWith('.yaml'))) {
    throw new Error(`${crds} holds no CRD: generate them with npm run generate`);
  }
  await cluster.kubectl(['apply', '--server-side', '-f', crds]);
  await cluster.kubectl(['wait', '--for=condition=Established', '--timeout=20s', '-f', crds]);
  await installRbac(cluster);
}

/** The namespace, roles and admission policy alone. */
export async function installRbac(cluster: Cluster): Promise<void> {
  await cluster.kubectl(['apply', '--server-side', '-k', join(ROOT, 'config', 'rbac')]);
  await policyInForce(cluster);
}

/** A new admission policy takes up to a second to reach the API server's own cache: tries what it forbids. */
async function policyInForce(cluster: Cluster): Promise<void> {
  const agent = cluster.api.as(AGENT_USER);
  const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'probe' } };
  const path = `/apis/coordination.k8s.io/v1/namespaces/${SYSTEM_NAMESPACE}/leases?dryRun=All`;
  let answer = 'it is allowed';
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(50)) {
    answer = await agent.raw('POST', path, lease).then(
      () => 'it is allowed',
      (failure: Error) => failure.message,
    );
    if (answer.includes('bound to no node')) return;
  }
  throw new Error(
    `the policy cubeplane-agent-own-node is not in force: an agent without a node writes a Lease: ${answer}`,
  );
}

/** A token of a service account. `node` binds it to a Node object: it names that node and ends with it. */
export async function requestToken(cluster: Cluster, account: string, node?: string): Promise<string> {
  const path = `/api/v1/namespaces/${SYSTEM_NAMESPACE}/serviceaccounts/${account}/token`;
  const bound = node === undefined ? {} : { boundObjectRef: { apiVersion: 'v1', kind: 'Node', name: node } };
  const answer = await cluster.api.create<{ status?: { token?: string } }>(path, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { expirationSeconds: TOKEN_SECONDS, ...bound },
  });
  if (answer.status?.token === undefined) throw new ApiError('POST', path, 200, 'the answer holds no token');
  return answer.status.token;
}

/** A kubeconfig with the operator's rights; its path. */
export async function operatorKubeconfig(cluster: Cluster): Promise<string> {
  const token = await requestToken(cluster, 'cubeplane-operator');
  return await cluster.kubeconfigFor('cubeplane-operator', token, SYSTEM_NAMESPACE);
}

/** A kubeconfig with the rights of one node's agent; its path. The Node object must be there. */
export async function agentKubeconfig(cluster: Cluster, node: string): Promise<string> {
  const token = await requestToken(cluster, 'cubeplane-agent', node);
  return await cluster.kubeconfigFor(`cubeplane-agent-${node}`, token, SYSTEM_NAMESPACE);
}
