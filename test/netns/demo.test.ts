// SPDX-License-Identifier: Apache-2.0
/** The demo as a user runs it: what it shows, and that it leaves nothing behind, however it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import { labNamespaces, labPins, removeLab } from '../harness/lab.ts';
import { until } from '../harness/until.ts';

const MAIN = join(import.meta.dirname, '../../scripts/demo/main.ts');
const TIMEOUT_MS = 120_000;

let running: ChildProcess | undefined;
afterEach(() => {
  if (running?.exitCode === null) running.kill('SIGTERM');
  running = undefined;
});

/** A demo under way, with what it has printed so far. */
function demo(...args: string[]) {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  running = child;
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  }
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  return { child, ended, text: () => text };
}

/** Id of the lab of a demo; other tests have theirs at the same time. */
function labOf({ pid }: ChildProcess): string | undefined {
  const directory = '/run/cubeplane-labs';
  return readdirSync(directory).find((id) => {
    try {
      return JSON.parse(readFileSync(join(directory, id, 'owner.json'), 'utf8')).pid === pid;
    } catch {
      return false; // being made or removed
    }
  });
}

test(
  'it works, shows the spread, the objects, the chain and counters, and can be kept and removed',
  async () => {
    const { ended, text } = demo('--keep');
    expect({ status: await ended, text: text() }).toMatchObject({ status: 0 });
    const shown = text();
    for (const name of ['web-1', 'web-2', 'web-3', 'web-4']) {
      // Each backend answered over TCP and UDP, IPv4 and IPv6.
      expect(shown).toMatch(new RegExp(`^ +${name} +node-[ab]( +[1-9][0-9]*){4}$`, 'm'));
    }
    expect(shown).toMatch(/\d+ requests during all of this, 0 failed/);
    expect(shown).toMatch(/cube\.cubeplane\.io\/demo\.router\.node-b +node-b +Router +True +Ready/);
    expect(shown).toContain('Pods ──pods─[ilb LoadBalancer]─server──pods─[router Router]─overlay── Overlay');
    expect(shown).toMatch(/^ +ilb +[1-9]\d+ +[1-9]\d+ .*newSessions [1-9]/m);
    const [, id = ''] = /--remove ([0-9a-f]{6})/.exec(shown) ?? [];
    expect(labNamespaces(id).length).toBeGreaterThan(7);
    try {
      const removal = demo('--remove', id);
      expect(await removal.ended).toBe(0);
    } finally {
      await removeLab(id);
    }
    expect(labNamespaces(id)).toEqual([]);
    expect(existsSync(labPins(id))).toBe(false);
  },
  TIMEOUT_MS,
);

test(
  'Ctrl-C in the middle removes everything',
  async () => {
    const { child, ended, text } = demo();
    await until('the chain is ready', () => text().includes('the chain is ready'), TIMEOUT_MS, text);
    const id = labOf(child) ?? '';
    expect(labNamespaces(id).length).toBeGreaterThan(2);
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    expect(labNamespaces(id)).toEqual([]);
    expect(existsSync(labPins(id))).toBe(false);
  },
  TIMEOUT_MS,
);

test('wrong usage and help', async () => {
  const help = demo('--help');
  expect(await help.ended).toBe(0);
  expect(help.text()).toContain('--kubernetes');
  const wrong = demo('--fast');
  expect(await wrong.ended).not.toBe(0);
  expect(wrong.text()).toContain('--fast');
});
