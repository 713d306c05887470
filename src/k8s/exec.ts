// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from './client.ts';
import { KubeError } from './errors.ts';
import { describe, PODS, pathOf } from './resource.ts';

/** Every message begins with the number of its channel (k8s.io/apimachinery remotecommand, v4). */
const PROTOCOL = 'v4.channel.k8s.io';
const CHANNEL = { stdout: 1, stderr: 2, status: 3 } as const;

export interface ExecResult {
  readonly stdout: string;
  readonly stderr: string;
  /** What the API server says of the end: empty for exit status 0. */
  readonly failure: string;
}

/** Runs a program in a container to its end. Throws KubeError where it could not be started, or did not end in time. */
export async function execInPod(
  client: KubeClient,
  at: { readonly namespace: string; readonly name: string; readonly container?: string },
  command: readonly string[],
  timeoutMs = 30_000,
): Promise<ExecResult> {
  const query = new URLSearchParams(command.map((word): [string, string] => ['command', word]));
  query.append('stdout', 'true');
  query.append('stderr', 'true');
  if (at.container !== undefined) query.append('container', at.container);
  const socket = await client.openWebSocket(pathOf(PODS, { ...at, subresource: 'exec' }), query, PROTOCOL);
  socket.binaryType = 'arraybuffer';
  const texts: Record<number, string> = {};
  const decoders: Record<number, InstanceType<typeof TextDecoder>> = {};
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (message: string) => reject(failureOf(at, message));
  const timer = setTimeout(() => fail(`no end within ${timeoutMs} ms`), timeoutMs);
  socket.addEventListener('message', ({ data }: { data: ArrayBuffer }) => {
    const [channel = 0, ...bytes] = new Uint8Array(data);
    decoders[channel] ??= new TextDecoder();
    texts[channel] =
      (texts[channel] ?? '') + decoders[channel].decode(new Uint8Array(bytes), { stream: true });
  });
  socket.addEventListener('close', ({ code, reason }) => {
    if (texts[CHANNEL.status] === undefined) fail(`the connection ended (${code}) ${reason}`);
    else resolve();
  });
  socket.addEventListener('error', ({ error, message }) => fail(message || String(error)));
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    socket.close();
  }
  const status = JSON.parse(texts[CHANNEL.status] ?? '{}') as { status?: string; message?: string };
  return {
    stdout: texts[CHANNEL.stdout] ?? '',
    stderr: texts[CHANNEL.stderr] ?? '',
    failure: status.status === 'Success' ? '' : (status.message ?? 'it failed'),
  };
}

function failureOf(at: { readonly namespace: string; readonly name: string }, message: string): KubeError {
  return new KubeError({
    code: 'Unreachable',
    status: 0,
    object: describe(PODS, at),
    message: `exec: ${message}`,
    remedy:
      'this account needs the verbs get and create for pods/exec there, and the API server a way to the kubelet',
  });
}
