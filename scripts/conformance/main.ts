// SPDX-License-Identifier: Apache-2.0
import { writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheDirectory } from '../../test/harness/go-build.ts';
import { ensureUpstreamTests } from '../../test/harness/kube/build.ts';
import { run } from '../../test/harness/process.ts';
import { formatElapsed } from '../../test/harness/progress.ts';
import { isUsageError, UsageError } from '../../test/harness/usage.ts';
import { startReal } from '../cluster/kinds.ts';
import { create, find, remove, type State } from '../cluster/state.ts';
import { reasonFor } from './reasons.ts';
import { linesOf, pageOf } from './report.ts';
import { isBad, outcomesOf } from './results.ts';
import { listTests, runTests } from './run.ts';

const HELP = `Runs Kubernetes' own end-to-end tests of networking on the cluster with real nodes (npm run cluster), which it starts for them.

Usage: npm run conformance -- [--focus REGEX]... [--skip REGEX]... [--procs N] [--report FILE] [--keep]

Options:
  --focus REGEX  tests with such a name alone; of several one is enough. All of [sig-network] without it
  --skip REGEX   not those
  --procs N      tests at a time; 4 by default
  --nodes N      of the cluster; 3 by default, which some tests need
  --name NAME    of the cluster (npm run cluster -- --name NAME); "conformance" by default. One that is up is used, and stays
  --keep         leave the cluster running
  --report FILE  write what came out of it as a page: docs/conformance.md
  --list         names of the tests, and why some would not run

A test that is not run needs a reason that scripts/conformance/reasons.ts knows. Status: 0 all passed or have a reason, 1 some do not,
2 wrong usage. The first run on a machine compiles the tests (10 to 20 minutes on 2 cores).
`;

const NETWORK = /\[sig-network\]/;
const began = Date.now();
const say = (line: string) => process.stderr.write(`${formatElapsed(Date.now() - began)}  ${line}\n`);

interface Options {
  readonly focus: readonly RegExp[];
  readonly skip: readonly RegExp[];
  readonly procs: number;
  readonly nodes: number;
  readonly name: string;
  readonly keep: boolean;
  readonly list: boolean;
  readonly report: string | undefined;
}

function optionsOf(argv: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      focus: { type: 'string', multiple: true, default: [] },
      skip: { type: 'string', multiple: true, default: [] },
      procs: { type: 'string', default: '4' },
      nodes: { type: 'string', default: '3' },
      name: { type: 'string', default: 'conformance' },
      keep: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      report: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return undefined;
  const expressions = (option: string, all: readonly string[]) =>
    all.map((text) => {
      try {
        return new RegExp(text);
      } catch {
        throw new UsageError(`--${option} ${text}: no regular expression`);
      }
    });
  const number = (option: string, text: string) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < 1 || value > 10)
      throw new UsageError(`--${option} ${text}: a number from 1 to 10`);
    return value;
  };
  return {
    focus: expressions('focus', values.focus),
    skip: expressions('skip', values.skip),
    procs: number('procs', values.procs),
    nodes: number('nodes', values.nodes),
    name: values.name,
    keep: values.keep,
    list: values.list,
    report: values.report,
  };
}

async function main(argv: readonly string[]): Promise<number> {
  const options = optionsOf(argv);
  if (options === undefined) {
    process.stdout.write(HELP);
    return 0;
  }
  const programs = await ensureUpstreamTests(say);
  const { focus, skip } = options;
  const chosen = (await listTests(programs)).filter(
    (name) =>
      NETWORK.test(name) &&
      (focus.length === 0 || focus.some((one) => one.test(name))) &&
      !skip.some((one) => one.test(name)),
  );
  if (chosen.length === 0) throw new UsageError('--focus and --skip leave no test: --list shows all');
  if (options.list) {
    for (const name of chosen) {
      const fact = reasonFor(name)?.fact;
      process.stdout.write(`${name}${fact === undefined ? '' : `\n  not run: ${fact}`}\n`);
    }
    return 0;
  }
  const possible = chosen.filter((name) => reasonFor(name) === undefined);
  say(`${chosen.length} tests chosen, ${chosen.length - possible.length} of them cannot run here`);
  const directory = join(cacheDirectory(), 'conformance', options.name);
  const { ran, about } = await withCluster(options, async (state) => ({
    ran:
      possible.length === 0
        ? []
        : await runTests(programs, state, possible, { directory, procs: options.procs, log: say }),
    about: await aboutCluster(state, options.nodes),
  }));
  const outcomes = outcomesOf(chosen, ran);
  process.stdout.write(`${linesOf(outcomes).join('\n')}\nlog: ${join(directory, 'e2e.log')}\n`);
  if (options.report !== undefined) {
    // The cluster's name is this run's affair.
    const told = argv.filter((word, index) => !/^--name(=|$)/.test(word) && argv[index - 1] !== '--name');
    const command = ['npm run conformance --', ...told.map(quote)].join(' ');
    await writeFile(resolve(options.report), pageOf(outcomes, { ...about, command }));
  }
  return outcomes.some(isBad) ? 1 : 0;
}

const quote = (word: string) => (/^[\w./=-]+$/.test(word) ? word : `'${word}'`);

/** The one of this name where it is up, else one that ends afterwards. */
async function withCluster<T>(options: Options, use: (state: State) => Promise<T>): Promise<T> {
  const { name, nodes, keep } = options;
  const running = await find('real', name);
  if (running !== undefined) {
    say(`using the cluster ${name}, which is up`);
    return await use(running.state);
  }
  await create('real', name, (lab) =>
    startReal(lab, { nodes, log: (line) => say(line.replace(/^\S+ +/, '')) }),
  );
  try {
    const found = await find('real', name);
    if (found === undefined) throw new Error(`the cluster ${name} has gone`);
    return await use(found.state);
  } finally {
    if (keep) say(`the cluster stays: npm run cluster -- --name ${name} down`);
    else await remove('real', name);
  }
}

async function aboutCluster(state: State, nodes: number) {
  const runtime = ['get', 'nodes', '-o', 'jsonpath={.items[0].status.nodeInfo.containerRuntimeVersion}'];
  const ask = async (argv: readonly string[]) =>
    (await run([state.kubectl, `--kubeconfig=${state.kubeconfig}`, ...argv])).stdout.trim();
  return {
    version: JSON.parse(await ask(['version', '-o', 'json'])).serverVersion.gitVersion as string,
    runtime: (await ask(runtime)).replace('://', ' '),
    kernel: release().split('-')[0] ?? '',
    nodes,
  };
}

process.exitCode = await main(process.argv.slice(2)).catch((failure: Error) => {
  process.stderr.write(`conformance: ${failure.message}\n`);
  const isUsage = isUsageError(failure);
  if (isUsage) process.stderr.write('see npm run conformance -- --help\n');
  return isUsage ? 2 : 1;
});
