// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { inCgroup } from './cgroup.ts';

/** What a program did that ran to its end. */
export interface Result {
  /** Exit status; 128 + n when signal n ended it, as in a shell. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Text for standard input; without it the program reads end of file. */
  readonly input?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** After this long it is killed and the call rejects; 30 s by default. */
  readonly timeoutMs?: number;
  /** True: a status other than 0 is an answer, not an error. */
  readonly anyStatus?: boolean;
}

/** A program that was started and is over: what was run, how it ended, and what it said. */
export class CommandError extends Error {
  override name = 'CommandError';
  readonly argv: readonly string[];
  readonly result: Result;

  constructor(argv: readonly string[], result: Result, why = `ended with status ${result.status}`) {
    super(`${argv.join(' ')}: ${why}\n${(result.stderr || result.stdout).trim().slice(-4000)}`);
    this.argv = argv;
    this.result = result;
  }
}

const SIGNAL_NUMBERS: Partial<Record<NodeJS.Signals, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGKILL: 9,
  SIGTERM: 15,
};

function statusOf(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal === null ? 0 : (SIGNAL_NUMBERS[signal] ?? 0));
}

/**
 * Runs a program to its end, bounded in time.
 *
 * @throws CommandError for a status other than 0 (unless `anyStatus`) and when time is over.
 */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Result> {
  const [command, ...args] = argv;
  if (command === undefined) throw new Error('nothing to run');
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  // A program that ends without reading its input is no error of ours.
  child.stdin.on('error', () => {}).end(options.input ?? '');
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  let late = false;
  const timeoutMs = options.timeoutMs ?? 30_000;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
    // A grandchild may hold the pipes open; the answer does not wait for it.
    child.stdout.destroy();
    child.stderr.destroy();
  }, timeoutMs);
  try {
    const status = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve(statusOf(code, signal)));
    });
    const result = {
      status,
      stdout: Buffer.concat(stdout).toString(),
      stderr: Buffer.concat(stderr).toString(),
    };
    if (late) throw new CommandError(argv, result, `was killed after ${timeoutMs} ms`);
    if (status !== 0 && options.anyStatus !== true) throw new CommandError(argv, result);
    return result;
  } finally {
    clearTimeout(timer);
  }
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Receives standard output and error, appended. */
  readonly logPath: string;
  /** A cgroup v2 directory that the program runs in from its first instruction. */
  readonly cgroup?: string;
  /** True: it outlives this process. Otherwise the kernel kills it when this process dies, however that happens. */
  readonly detached?: boolean;
}

/** A long-running program, known by its process id. */
export class Running {
  readonly argv: readonly string[];
  readonly logPath: string;
  readonly pid: number;
  readonly #child: ChildProcess;
  #status: number | undefined;

  constructor(argv: readonly string[], child: ChildProcess & { readonly pid: number }, logPath: string) {
    this.argv = argv;
    this.logPath = logPath;
    this.pid = child.pid;
    this.#child = child;
    child.once('exit', (code, signal) => {
      this.#status = statusOf(code, signal);
    });
  }

  /** The exit status, or undefined while it runs. */
  get status(): number | undefined {
    return this.#status;
  }

  /** Standard output and error so far. */
  async output(): Promise<string> {
    return await readFile(this.logPath, 'utf8');
  }

  /** Calls back when it has ended; at once where it has. */
  onExit(callback: () => void): void {
    if (this.#status === undefined) this.#child.once('exit', callback);
    else callback();
  }

  kill(signal: NodeJS.Signals): void {
    if (this.#status === undefined) this.#child.kill(signal);
  }

  /** Waits for its end. @throws Error when it still runs after `timeoutMs`. */
  async exited(timeoutMs = 30_000): Promise<number> {
    await this.#settled(timeoutMs);
    if (this.#status === undefined)
      throw new Error(`${this.argv.join(' ')} still runs after ${timeoutMs} ms`);
    return this.#status;
  }

  /** SIGTERM, and SIGKILL to one that has not ended within `graceMs`. Returns the exit status. */
  async stop(graceMs = 5_000): Promise<number> {
    this.kill('SIGTERM');
    await this.#settled(graceMs);
    this.kill('SIGKILL');
    return await this.exited();
  }

  async #settled(timeoutMs: number): Promise<void> {
    if (this.#status !== undefined) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#child.once('exit', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /**
   * Waits until `ready` answers true.
   *
   * @throws CommandError with the end of its log when it ends first or time is over.
   */
  async waitUntil(what: string, ready: () => boolean | Promise<boolean>, timeoutMs = 30_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      // Looked at first: of one that has ended already, all that it did is there for `ready` to see.
      const goesOn = this.#status === undefined;
      const over = Date.now() > deadline;
      if (await ready()) return;
      if (!over && goesOn) {
        await sleep(50);
        continue;
      }
      const result = { status: this.#status ?? 0, stdout: await this.output(), stderr: '' };
      const why = over
        ? `was not ${what} within ${timeoutMs} ms`
        : `ended with status ${this.#status} before it was ${what}`;
      throw new CommandError(this.argv, result, `${why}; the end of ${this.logPath}:`);
    }
  }

  /** Waits until its output matches. */
  async waitForOutput(pattern: RegExp, timeoutMs = 30_000): Promise<RegExpExecArray> {
    let match: RegExpExecArray | null = null;
    const matches = async () => {
      match = pattern.exec(await this.output());
      return match !== null;
    };
    await this.waitUntil(`saying ${pattern}`, matches, timeoutMs);
    return match as unknown as RegExpExecArray;
  }
}

/**
 * Starts a program and returns at once; its output goes to a file. `sh` and `setpriv` in front of it replace themselves
 * (exec), so the process id is the program's own.
 *
 * @throws Error when the program cannot be executed at all.
 */
export async function start(argv: readonly string[], options: StartOptions): Promise<Running> {
  let line = options.cgroup === undefined ? [...argv] : inCgroup(options.cgroup, argv);
  if (options.detached !== true) line = ['setpriv', '--pdeathsig', 'KILL', '--', ...line];
  const log = openSync(options.logPath, 'a');
  try {
    const child = spawn(line[0] ?? '', line.slice(1), {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', log, log],
      detached: options.detached === true,
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve).once('error', reject);
    });
    if (options.detached === true) child.unref();
    return new Running(argv, child as ChildProcess & { readonly pid: number }, options.logPath);
  } finally {
    closeSync(log);
  }
}
