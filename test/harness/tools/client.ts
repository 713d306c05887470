// SPDX-License-Identifier: Apache-2.0

/**
 * A client that never pauses: client.ts ADDRESS PORT [--every MS] [--long N] [--udp] [--count N] [--timeout MS]
 *
 * Opens a new connection every MS milliseconds (default 5), asks once and closes it; beside that it holds N long
 * connections and asks on each every 20 ms. A connection or an answer that takes over MS
 * (default 3000) is a failure, and so is any error. Ends at SIGTERM, or after N short requests, and prints one JSON object: see ClientReport.
 */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

export interface ClientReport {
  readonly requests: number;
  readonly failures: readonly {
    readonly at: number;
    readonly kind: 'short' | 'long';
    readonly error: string;
  }[];
  /** Answers by the name of the backend. */
  readonly by: Readonly<Record<string, number>>;
  /** The client's own address as the last backend saw it. */
  readonly seenAs: string;
  /** Longest answer, ms. */
  readonly slowest: number;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    every: { type: 'string', default: '5' },
    long: { type: 'string', default: '0' },
    count: { type: 'string', default: '0' },
    timeout: { type: 'string', default: '3000' },
    udp: { type: 'boolean', default: false },
  },
});
const TIMEOUT_MS = Number(values.timeout);
const [address = '', port = ''] = positionals;
const failures: { at: number; kind: 'short' | 'long'; error: string }[] = [];
const by: Record<string, number> = {};
let requests = 0;
let seenAs = '';
let slowest = 0;
let stopping = false;
process.on('SIGTERM', () => {
  stopping = true;
});

function answered(text: string, began: number): void {
  const [name = '?', seen = ''] = text.trim().split(' ');
  requests++;
  by[name] = (by[name] ?? 0) + 1;
  seenAs = seen;
  slowest = Math.max(slowest, performance.now() - began);
}

function failed(kind: 'short' | 'long', error: unknown): void {
  const { code, message } = error as NodeJS.ErrnoException;
  failures.push({ at: Date.now(), kind, error: code ?? message });
}

function askTcp(): Promise<void> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const socket = connect({ host: address, port: Number(port), noDelay: true });
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('timeout')));
    socket.on('error', reject);
    socket.on('connect', () => socket.write('who\n'));
    socket.on('data', (chunk) => {
      answered(chunk.toString(), began);
      socket.end();
      resolve();
    });
    socket.on('close', () => reject(new Error('closed without an answer')));
  });
}

function askUdp(): Promise<void> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const end = (error?: Error): void => {
      clearTimeout(timer);
      socket.close();
      if (error) reject(error);
      else resolve();
    };
    const timer = setTimeout(() => end(new Error('timeout')), TIMEOUT_MS);
    socket.once('error', end);
    socket.connect(Number(port), address, () => {
      socket.once('message', (text) => {
        answered(text.toString(), began);
        end();
      });
      socket.send('who\n');
    });
  });
}

/** One long connection: asks until the client ends; a broken one is a failure, and is opened again. */
async function hold(): Promise<void> {
  while (!stopping) {
    try {
      await new Promise<void>((resolve, reject) => {
        let began = performance.now();
        const socket = connect({ host: address, port: Number(port), noDelay: true });
        socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('timeout')));
        socket.on('error', reject);
        socket.on('close', () => (stopping ? resolve() : reject(new Error('closed by the server'))));
        const ask = (): void => {
          if (stopping) {
            socket.end();
            return;
          }
          began = performance.now();
          socket.write('who\n');
        };
        socket.on('connect', ask);
        socket.on('data', (chunk) => {
          answered(chunk.toString(), began);
          setTimeout(ask, 20);
        });
      });
    } catch (error) {
      failed('long', error);
      await sleep(50);
    }
  }
}

const held = Array.from({ length: Number(values.long) }, () => hold());
const count = Number(values.count);
const pending = new Set<Promise<void>>();
process.stdout.write('ready\n');
for (let sent = 0; !stopping && (count === 0 || sent < count); sent++) {
  const one = (values.udp ? askUdp() : askTcp())
    .catch((error) => failed('short', error))
    .finally(() => pending.delete(one));
  pending.add(one);
  await sleep(Number(values.every));
}
if (count > 0) stopping = true;
await Promise.all([...pending, ...held]);
const report: ClientReport = { requests, failures, by, seenAs, slowest: Math.round(slowest) };
process.stdout.write(`${JSON.stringify(report)}\n`);
process.exit(0);
