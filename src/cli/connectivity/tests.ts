// SPDX-License-Identifier: Apache-2.0

/** What a test needs beside pods of one node. */
export type Need = 'TwoNodes' | 'ClusterDNS' | 'External';

export interface TestInfo {
  readonly name: string;
  readonly description: string;
  readonly needs?: Need;
}

/** What `cubeplane connectivity test` tries, in the order in which it tells of it. */
export const TESTS = [
  {
    name: 'pod-to-pod-same-node',
    description: 'a pod of the same node, which sees the own address of the client',
  },
  {
    name: 'pod-to-pod-other-node',
    description: 'a pod of the other node, which sees the own address of the client',
    needs: 'TwoNodes',
  },
  { name: 'pod-to-service', description: 'the address of a Service; each of its backends answers' },
  { name: 'pod-to-service-same-node', description: 'a Service whose backend is on the same node' },
  {
    name: 'pod-to-service-other-node',
    description: 'a Service whose backend is on the other node',
    needs: 'TwoNodes',
  },
  { name: 'pod-to-itself-by-service', description: 'a Service whose backend is the client (hairpin)' },
  {
    name: 'service-affinity',
    description: 'a Service with sessionAffinity ClientIP; the same backend answers each time',
    needs: 'TwoNodes',
  },
  {
    name: 'headless-dns',
    description: 'the name of a headless Service; the cluster DNS answers with its pods',
    needs: 'ClusterDNS',
  },
  { name: 'pod-to-nodeport-own-node', description: 'a node port at the address of the own node' },
  {
    name: 'pod-to-nodeport-other-node',
    description: 'a node port at the address of the other node',
    needs: 'TwoNodes',
  },
  {
    name: 'nodeport-local',
    description: 'externalTrafficPolicy Local: a node port at a node that has a backend',
  },
  {
    name: 'nodeport-local-elsewhere',
    description: 'externalTrafficPolicy Local: no answer at a node that has no backend',
    needs: 'TwoNodes',
  },
  { name: 'pod-to-own-node', description: 'a server in the network of the own node' },
  { name: 'pod-to-other-node', description: 'a server in the network of the other node', needs: 'TwoNodes' },
  { name: 'node-to-pod-same-node', description: 'a process of the node: a pod of the same node' },
  {
    name: 'node-to-pod-other-node',
    description: 'a process of the node: a pod of the other node',
    needs: 'TwoNodes',
  },
  { name: 'node-to-service', description: 'a process of the node: a Service; each of its backends answers' },
  { name: 'node-to-nodeport', description: 'a process of the node: a node port at its own address' },
  { name: 'pod-to-api-server', description: 'the Service of the API server' },
  { name: 'pod-to-world', description: 'the URL that --external names', needs: 'External' },
  { name: 'policy-deny', description: 'a NetworkPolicy without rules: pods get no answer from its pods' },
  {
    name: 'policy-allow',
    description: 'a NetworkPolicy that lets one client in: it gets answers, the other none',
  },
  { name: 'policy-undone', description: 'both policies deleted: both clients get answers again' },
] as const satisfies readonly TestInfo[];

export type TestName = (typeof TESTS)[number]['name'];

/** Why a test is left out, for people. */
export const MISSING: Readonly<Record<Need, string>> = {
  TwoNodes: 'there is one node',
  ClusterDNS: 'the cluster has no DNS: there is no Service kube-system/kube-dns',
  External: 'no address outside was named: give --external URL',
};
