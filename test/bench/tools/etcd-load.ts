// SPDX-License-Identifier: Apache-2.0

/**
 * Puts objects where the API server keeps them, past its admission: ten thousand creations take it minutes, and how
 * they came there is not what is measured. Run in the network namespace of the control plane:
 *   etcd-load.ts FILE [one-by-one]    one object a line, complete with uid and creationTimestamp
 * Where somebody watches, one by one: objects of one transaction have the same resourceVersion, and a watch that goes on after
 * it, since it had fallen behind, misses the rest of them.
 */
import { readFileSync } from 'node:fs';

const ETCD = 'http://127.0.0.1:2379';
const [file = '', mode = ''] = process.argv.slice(2);
/** Of etcd's limit of 128 operations and 1.5 MiB a transaction. */
const MOST = { operations: mode === 'one-by-one' ? 1 : 100, bytes: 1 << 20 } as const;

/** Where objects of a kind are, below /registry. */
const FOLDERS: Readonly<Record<string, string>> = {
  CubeTable: 'cubeplane.io/cubetables',
  EndpointSlice: 'endpointslices',
  IPAddress: 'ipaddresses',
  Service: 'services/specs',
};

interface Stored {
  readonly kind: string;
  readonly metadata: { readonly namespace?: string; readonly name: string };
}

function keyOf({ kind, metadata: { namespace, name } }: Stored): string {
  const folder = FOLDERS[kind];
  if (folder === undefined) throw new Error(`no folder for objects of kind ${kind} is known here`);
  return ['/registry', folder, ...(namespace === undefined ? [] : [namespace]), name].join('/');
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

async function put(success: readonly object[]): Promise<void> {
  const answer = await fetch(`${ETCD}/v3/kv/txn`, { method: 'POST', body: JSON.stringify({ success }) });
  if (!answer.ok) throw new Error(`etcd: ${answer.status} ${await answer.text()}`);
}

let operations: object[] = [];
let bytes = 0;
for (const line of readFileSync(file, 'utf8').split('\n')) {
  if (line === '') continue;
  const key = keyOf(JSON.parse(line) as Stored);
  operations.push({ requestPut: { key: base64(key), value: base64(line) } });
  bytes += line.length;
  if (operations.length < MOST.operations && bytes < MOST.bytes) continue;
  await put(operations);
  operations = [];
  bytes = 0;
}
if (operations.length > 0) await put(operations);
