// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';

export interface CommandOptions {
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** It is ended after this long, with everything it started in its process group. */
  readonly timeoutSeconds: number;
  /** True: its output goes to this terminal as it comes; false: it is returned. */
  readonly inherit: boolean;
}

export interface CommandResult {
  readonly ok: boolean;
  /** Standard output and error, in the order in which they came; empty when inherited. */
  readonly output: string;
}

const running = new Set<number>();

/** Runs a program to its end in a process group of its own, so that ending it ends what it started. */
export async function command(argv: readonly string[], options: CommandOptions): Promise<CommandResult> {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, {
    env: { ...process.env, ...options.env },
    stdio: options.inherit ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const chunks: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk));
  if (child.pid !== undefined) running.add(child.pid);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    endGroup(child.pid, 'SIGTERM');
    setTimeout(() => endGroup(child.pid, 'SIGKILL'), 10_000).unref();
  }, options.timeoutSeconds * 1000);
  try {
    const status = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    if (late) chunks.push(Buffer.from(`\nended after ${options.timeoutSeconds} s: it took too long\n`));
    return { ok: status === 0 && !late, output: Buffer.concat(chunks).toString() };
  } finally {
    clearTimeout(timer);
    if (child.pid !== undefined) running.delete(child.pid);
  }
}

function endGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended by itself.
  }
}

/** Passes an interrupt on to what runs, which the terminal does not reach in its group, and then ends. */
export function endOnSignals(): void {
  const statuses = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
  for (const [signal, status] of Object.entries(statuses)) {
    process.once(signal, () => {
      for (const pid of running) endGroup(pid, 'SIGTERM');
      const deadline = setTimeout(() => process.exit(status), 15_000);
      const poll = setInterval(() => {
        if (running.size > 0) return;
        clearInterval(poll);
        clearTimeout(deadline);
        process.exit(status);
      }, 50);
    });
  }
}
