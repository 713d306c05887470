// SPDX-License-Identifier: Apache-2.0
import { connect } from '../../k8s/client.ts';
import { Agents } from '../connectivity/agents.ts';
import { reportLines } from '../connectivity/print.ts';
import { testConnectivity } from '../connectivity/run.ts';
import { HOST_PORT } from '../connectivity/stage.ts';
import { TESTS } from '../connectivity/tests.ts';
import { type SourceOptions, sourceOf, stateRootOf } from '../context.ts';
import { CliError, EXIT } from '../errors.ts';
import { interrupted } from '../interrupted.ts';
import { colours } from '../print/colours.ts';
import { tableLines } from '../print/table.ts';
import { printData } from './get.ts';
import { outputOf } from './tables.ts';
import { packageVersion } from './version.ts';

export interface ConnectivityOptions extends SourceOptions {
  readonly namespace: string;
  readonly image?: string;
  readonly singleNode?: boolean;
  readonly nodes?: string;
  readonly external?: string;
  readonly hostPort: string;
  readonly test?: string;
  readonly list?: boolean;
  readonly keep?: boolean;
  readonly timeout: string;
  readonly output?: string;
}

export async function connectivityTest(options: ConnectivityOptions): Promise<void> {
  const output = outputOf(options.output);
  const isWanted = testFilter(options.test);
  const wanted = TESTS.filter(({ name }) => isWanted(name));
  if (wanted.length === 0)
    throw new CliError(
      EXIT.usage,
      `--test ${options.test} names no test`,
      'cubeplane connectivity test --list',
    );
  if (options.list) {
    if (output !== undefined) return await printData(wanted, output);
    const rows = wanted.map(({ name, description }) => [name, description]);
    process.stdout.write(`${tableLines(['TEST', 'WHAT IS REACHED'], rows).join('\n')}\n`);
    return;
  }
  const source = sourceOf(options);
  if (source.type !== 'cluster')
    throw new CliError(
      EXIT.usage,
      'pods run in a cluster only, not in a directory of manifests',
      'give --kubeconfig FILE',
    );
  const hostPort = wholeNumber('--host-port', options.hostPort, 65_535);
  const seconds = wholeNumber('--timeout', options.timeout, 86_400);
  if (options.external !== undefined && !URL.canParse(options.external))
    throw new CliError(
      EXIT.usage,
      `--external ${options.external} is no URL`,
      'as: --external https://example.org',
    );
  const began = Date.now();
  const say = (line: string) => {
    const elapsed = Math.round((Date.now() - began) / 1000);
    process.stderr.write(`${Math.floor(elapsed / 60)}:${String(elapsed % 60).padStart(2, '0')}  ${line}\n`);
  };
  const client = await connect(source);
  try {
    const agents = new Agents(client, stateRootOf(options));
    const report = await testConnectivity(
      client,
      agents,
      {
        namespace: options.namespace,
        image: options.image ?? (await agents.image()) ?? `cubeplane:${packageVersion()}`,
        hostPort,
        wanted: options.nodes?.split(',') ?? [],
        single: options.singleNode === true,
        keep: options.keep === true,
        isWanted,
        ...(options.external === undefined ? {} : { external: options.external }),
      },
      AbortSignal.any([interrupted(), AbortSignal.timeout(seconds * 1000)]),
      say,
    );
    if (output !== undefined) await printData(report, output);
    else process.stdout.write(`${reportLines(report, colours(process.stdout)).join('\n')}\n`);
    process.exitCode = report.passed ? EXIT.ok : EXIT.failure;
  } finally {
    await client.close();
  }
}

function testFilter(pattern: string | undefined): (test: string) => boolean {
  if (pattern === undefined) return () => true;
  try {
    const expression = new RegExp(pattern);
    return (test) => expression.test(test);
  } catch (cause) {
    const { message } = cause as Error;
    throw new CliError(EXIT.usage, `--test: ${message}`, 'give a regular expression, as policy', { cause });
  }
}

function wholeNumber(option: string, text: string, most: number): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= most) return number;
  throw new CliError(
    EXIT.usage,
    `${option} ${text} is not a whole number from 1 to ${most}`,
    `as: ${option} ${option === '--timeout' ? 300 : HOST_PORT}`,
  );
}
