// SPDX-License-Identifier: Apache-2.0

/** `npm run soak -- [--only NAME] [--list]`: the tests at full counts and durations; writes docs/soak.md. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureKubernetes } from '../test/harness/kube/build.ts';
import { endOnSignals } from './check/command.ts';
import { runJestPart } from './check/jest-part.ts';
import { PARTS } from './check/parts.ts';
import { SOAKS, type Soak } from './soak/plan.ts';
import { type Row, soakDocument } from './soak/report.ts';

const DOCUMENT = join(import.meta.dirname, '../docs/soak.md');
/** Most seconds of one run of the files, whatever their counts. */
const LIMIT_SECONDS = 4 * 3600;

const NAME_WIDTH = Math.max(...SOAKS.map(({ name }) => name.length));
const HELP = `Usage: npm run soak -- [--only NAME]... [--list] [--times N]

Runs the tests with full counts, for hours, and writes what came of it to docs/soak.md. Needs root.

  --only NAME   this one alone; may be repeated
  --times N     runs each N times instead of as often as planned
  --list        says what there is

${SOAKS.map(({ name, what }) => `  ${name.padEnd(NAME_WIDTH)}  ${what}`).join('\n')}
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true, default: [] },
      times: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help || values.list) {
    process.stdout.write(HELP);
    return 0;
  }
  const names = SOAKS.map(({ name }) => name);
  const unknown = values.only.filter((name) => !names.includes(name));
  if (unknown.length > 0) throw new Error(`--only ${unknown.join(', ')}: there is ${names.join(', ')}`);
  const times = values.times === undefined ? undefined : Number(values.times);
  if (times !== undefined && !(Number.isInteger(times) && times > 0))
    throw new Error(`--times ${values.times}: not a whole number above 0`);
  if (process.getuid?.() !== 0) throw new Error('network namespaces and eBPF need root: run it with sudo');
  endOnSignals();
  const wanted = SOAKS.filter(({ name }) => values.only.length === 0 || values.only.includes(name));
  if (wanted.some(({ part }) => part === 'e2e')) await ensureKubernetes();
  let failed = 0;
  for (const soak of wanted) {
    const row = await run(soak, times ?? soak.times);
    failed += row.failed.length;
    // after each one: hours of results outlive an interruption
    const before = existsSync(DOCUMENT) ? readFileSync(DOCUMENT, 'utf8') : '';
    const machine = `${cpus().length} cores, Linux ${release().replace(/-.*/, '')}, Node ${process.version}`;
    writeFileSync(DOCUMENT, soakDocument(before, [row], names, machine));
    process.stdout.write(`soak ${soak.name}: ${row.passed} passed, ${row.failed.length} failed\n`);
  }
  return failed === 0 ? 0 : 1;
}

async function run(soak: Soak, times: number): Promise<Row> {
  const part = PARTS.find(({ name }) => name === soak.part);
  if (part === undefined) throw new Error(`no part ${soak.part}`);
  Object.assign(process.env, soak.env);
  const started = Date.now();
  let passed = 0;
  const failed: string[] = [];
  for (let round = 1; round <= times; round++) {
    process.stderr.write(`\n== soak ${soak.name}, ${round} of ${times}: ${soak.what}\n`);
    const limits = { limitSeconds: LIMIT_SECONDS, testSeconds: LIMIT_SECONDS };
    const { checks } = await runJestPart({ ...part, ...limits }, soak.files);
    passed += checks.filter(({ ok }) => ok).length;
    failed.push(...checks.filter(({ ok }) => !ok).map(({ name }) => name));
  }
  for (const name of Object.keys(soak.env)) delete process.env[name];
  const counts = Object.entries(soak.env).map(
    ([name, value]) => `${name.replace('CUBEPLANE_', '').toLowerCase().replaceAll('_', ' ')} ${value}`,
  );
  return {
    name: soak.name,
    what: soak.what,
    counts: [...counts, `${times} ${times === 1 ? 'time' : 'times'}`].join(', '),
    date: new Date().toISOString().slice(0, 10),
    seconds: (Date.now() - started) / 1000,
    passed,
    failed,
  };
}

try {
  process.exitCode = await main();
} catch (failure) {
  process.stderr.write(`npm run soak: ${failure instanceof Error ? failure.message : failure}\n`);
  process.exitCode = 2;
}
