// SPDX-License-Identifier: Apache-2.0

/**
 * Puts custom objects where the API server keeps them, past its admission: ten thousand creations take it minutes, and how
 * they came there is not what is measured. Run in the network namespace of the control plane:
 *   etcd-load.ts FILE        one object a line, complete with uid and creationTimestamp
 */
import { readFileSync } from 'node:fs';

const ETCD = 'http://127.0.0.1:2379';
/** Of etcd's limit of 128 operations and 1.5 MiB a transaction. */
const MOST = { operations: 100, bytes: 1 << 20 } as const;

interface Stored {
  readonly apiVersion: string;
  readonly metadata: { readonly namespace: string; readonly name: string };
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

async function put(success: readonly object[]): Promise<void> {
  const answer = await fetch(`${ETCD}/v3/kv/txn`, { method: 'POST', body: JSON.stringify({ success }) });
  if (!answer.ok) throw new Error(`etcd: ${answer.status} ${await answer.text()}`);
}

let operations: object[] = [];
let bytes = 0;
for (const line of readFileSync(process.argv[2] ?? '', 'utf8').split('\n')) {
  if (line === '') continue;
  const { apiVersion, metadata } = JSON.parse(line) as Stored;
  const key = `/registry/${apiVersion.split('/')[0]}/cubetables/${metadata.namespace}/${metadata.name}`;
  operations.push({ requestPut: { key: base64(key), value: base64(line) } });
  bytes += line.length;
  if (operations.length < MOST.operations && bytes < MOST.bytes) continue;
  await put(operations);
  operations = [];
  bytes = 0;
}
if (operations.length > 0) await put(operations);
