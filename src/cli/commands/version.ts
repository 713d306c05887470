// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { CUBE_ABI } from '../../dataplane/layout.ts';
import { CliError, EXIT } from '../errors.ts';

/** Version of this package, as package.json says. */
export function packageVersion(): string {
  const path = new URL('../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
}

export async function version(options: { output?: string }): Promise<void> {
  const { output } = options;
  if (output !== undefined && output !== 'json') {
    throw new CliError(EXIT.usage, `there is no output format ${output} here`, 'use json, or leave -o out');
  }
  const facts = {
    version: packageVersion(),
    abi: CUBE_ABI,
    node: process.version,
    kernel: { release: release() },
  };
  if (output === 'json') {
    const { kernelFeatures } = await import('../../dataplane/kernel/kernel.ts');
    process.stdout.write(`${JSON.stringify({ ...facts, kernel: kernelFeatures() }, null, 2)}\n`);
    return;
  }
  process.stdout.write(
    `cubeplane ${facts.version}, cube ABI ${facts.abi}, kernel ${facts.kernel.release}, Node.js ${facts.node}\n`,
  );
}
