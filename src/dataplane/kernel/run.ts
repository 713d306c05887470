// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';
import { AgentError } from '../errors.ts';
import { CAPABILITIES } from './capabilities.ts';

/** Runs a program to its end, bounded in time. Throws AgentError KernelError with what it wrote to standard error. */
export async function run(argv: readonly string[], input = '', timeoutMs = 10_000): Promise<string> {
  const [command = '', ...args] = argv;
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  child.stdin.on('error', () => {}).end(input);
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (cause) => {
      reject(
        new AgentError(
          'KernelError',
          `${command} cannot be run: ${cause.message}`,
          'install iproute2 and util-linux',
          cause,
        ),
      );
    });
    child.once('close', resolve);
  });
  if (status !== 0) {
    const said = Buffer.concat(err).toString().trim().split('\n').slice(-3).join(' ');
    if (said.includes('Operation not permitted'))
      throw new AgentError('NotPermitted', `${argv.join(' ')}: ${said}`, CAPABILITIES);
    throw new AgentError('KernelError', `${argv.join(' ')}: ${said || `ended with status ${status}`}`);
  }
  return Buffer.concat(out).toString();
}

/** One `ip -batch`: lines without the word `ip`. `netns` is a path or a name; the agent's own without it. */
export async function ipBatch(lines: readonly string[], netns?: string): Promise<void> {
  if (lines.length === 0) return;
  const ip = ['ip', '-batch', '-'];
  const argv = netns === undefined ? ip : ['nsenter', `--net=${netns}`, '--', ...ip];
  await run(argv, `${lines.join('\n')}\n`);
}

export async function ipJson(args: readonly string[], netns?: string): Promise<Record<string, unknown>[]> {
  const ip = ['ip', '-json', '-details', ...args];
  const text = await run(netns === undefined ? ip : ['nsenter', `--net=${netns}`, '--', ...ip]);
  return text.trim() === '' ? [] : (JSON.parse(text) as Record<string, unknown>[]);
}
