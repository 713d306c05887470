// SPDX-License-Identifier: Apache-2.0
/** The operator as a process beside the API server. */
import { join } from 'node:path';
import type { OperatorHealth } from '../../src/operators/operator.ts';
import type { Cluster } from '../harness/kube/cluster.ts';
import type { Running } from '../harness/process.ts';
import { until } from '../harness/until.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** Python, as the other tools that run inside a namespace: a bare machine has no curl. */
const GET = 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=10).read().decode())';
const FIRST_PORT = 18_100;
let starts = 0;

export interface OperatorProcess {
  running: Running;
  state(): Promise<OperatorHealth>;
}

export async function startOperator(
  cluster: Cluster,
  kubeconfig: string,
  ...flags: string[]
): Promise<OperatorProcess> {
  const { namespace } = cluster.machine;
  const address = `127.0.0.1:${FIRST_PORT + starts}`;
  const running = await namespace.start(`operator-${starts++}`, [
    process.execPath,
    join(ROOT, 'src/operators/main.ts'),
    `--kubeconfig=${kubeconfig}`,
    `--health-address=${address}`,
    '--log-level=debug',
    ...flags,
  ]);
  const state = async (): Promise<OperatorHealth> => {
    const { stdout } = await namespace.exec(['python3', '-c', GET, `http://${address}/state`]);
    return JSON.parse(stdout) as OperatorHealth;
  };
  return { running, state };
}

/** Queues that come to rest; that of the Leases never does. */
const QUEUES = ['tables', 'identities', 'policies', 'chains', 'chain-status', 'addresses', 'announcements'];

/** Waits until the operator has nothing left to do, and did nothing for half a second. */
export async function settled(operator: OperatorProcess, timeoutMs = 60_000): Promise<void> {
  let before = '';
  let since = Date.now();
  await until(
    'the operator is at rest',
    async () => {
      const { queues, applies, synced } = await operator.state();
      const all = QUEUES.map((name) => queues[name]);
      const busy = all.some((q) => q === undefined || q.waiting + q.running + q.failing > 0);
      const now = `${applies} ${all.map((q) => q?.done).join(' ')}`;
      if (busy || !synced || now !== before) since = Date.now();
      before = now;
      return Date.now() - since > 500;
    },
    timeoutMs,
  );
}
