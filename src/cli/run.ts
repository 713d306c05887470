// SPDX-License-Identifier: Apache-2.0
import { CommanderError } from 'commander';
import { EXIT, failureOf } from './errors.ts';
import { colours } from './print/colours.ts';
import { buildProgram } from './program.ts';

/** Runs one command line and returns its exit code. Prints failures to standard error, with what to do about them. */
export async function run(args: readonly string[]): Promise<number> {
  // A reader that has seen enough (head) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.ok);
  });
  const program = buildProgram();
  try {
    await program.parseAsync(args, { from: 'user' });
    return Number(process.exitCode ?? EXIT.ok);
  } catch (error) {
    // Commander has printed its message already, or the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const { status, message, remedy } = failureOf(error);
    const paint = colours(process.stderr);
    process.stderr.write(`${paint.red('cubeplane: error:')} ${message}\n`);
    if (remedy !== '') process.stderr.write(`  ${remedy}\n`);
    if (args.includes('--debug') && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    return status;
  }
}
