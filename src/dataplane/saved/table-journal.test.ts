// SPDX-License-Identifier: Apache-2.0
/** On real files. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { AgentLog } from '../agent-options.ts';
import { pack, packOwn, TableStore } from '../tables.ts';
import { tableLine } from './journal-lines.ts';
import { TableJournal } from './table-journal.ts';

let folder: string;
let store: TableStore;
/** Whether it is known what there is. */
let isKnown: boolean;
const said: string[] = [];
const say = (_: object, message: string) => void said.push(message);
const log: AgentLog = { debug() {}, info() {}, warn: say, error: say };

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'journal-'));
  store = new TableStore();
  isKnown = true;
  said.length = 0;
});
afterEach(() => rmSync(folder, { recursive: true }));

function journal(leastAppended?: number): TableJournal {
  return new TableJournal({
    path: join(folder, 'tables.journal'),
    log,
    content: () => (isKnown ? [...store.applied.values()] : undefined),
    isCurrent: () => true,
    delayMs: 5,
    ...(leastAppended === undefined ? {} : { leastAppended }),
  });
}

function set(name: string, rows: readonly unknown[]): void {
  const metadata = { namespace: 'ns', name, uid: name, generation: 1 };
  store.set(pack({ kind: 'CubeTable', metadata, spec: { type: 'Service', services: rows } }));
}

const size = () => statSync(join(folder, 'tables.journal'), { throwIfNoEntry: false })?.size ?? 0;

/** Waits until the file has changed. */
async function written(work: () => void): Promise<number> {
  const before = size();
  work();
  for (const deadline = Date.now() + 10_000; size() === before; await sleep(2))
    if (Date.now() > deadline) throw new Error('nothing was written');
  return size();
}

test('what was in force comes back: first all of it, then change by change', async () => {
  const one = journal();
  for (let i = 0; i < 300; i++) set(`t${i}`, [i]);
  store.set(packOwn('pod ns/p', 'Identity', [1]));
  const whole = await written(() => one.note(store.take().slice(0, 3)));
  set('t1', ['changed']);
  store.delete('ns/t2');
  const after = await written(() => one.note(store.take()));
  expect(after - whole).toBeLessThan(1000);
  await one.close();
  store.delete('pod ns/p');
  const loaded = journal().load();
  expect(Object.fromEntries(loaded?.tables ?? [])).toMatchObject(Object.fromEntries(store.applied));
  expect(loaded).toMatchObject({ damaged: 0, isCut: false });
});

test('the end writes what waits, and the time of the file says until when it was right', async () => {
  const one = journal();
  set('a', [1]);
  one.note(store.take());
  await one.close();
  utimesSync(join(folder, 'tables.journal'), 1000, 1000);
  expect(journal().load()?.asOf).toEqual(new Date(1_000_000));
  expect([...(journal().load()?.tables.keys() ?? [])]).toEqual(['ns/a']);
});

test('changes that outgrow what there is are written anew, and nothing is lost', async () => {
  const one = journal(2000);
  const sizes: number[] = [];
  for (let i = 0; i < 40; i++) {
    set(`t${i % 3}`, [i, 'x'.repeat(i)]);
    sizes.push(await written(() => one.note(store.take())));
  }
  await one.close();
  expect(sizes.some((each, i) => each < (sizes[i - 1] ?? 0))).toBe(true);
  expect(Math.max(...sizes)).toBeLessThan(4000);
  const { tables } = journal().load() ?? {};
  expect(Object.fromEntries(tables ?? [])).toEqual(Object.fromEntries(store.applied));
});

test('a mass of changes is written anew as well', async () => {
  const one = journal();
  for (let i = 0; i < 1100; i++) set(`t${i}`, [i]);
  const whole = await written(() => one.note(store.take()));
  for (let i = 0; i < 1100; i++) set(`t${i}`, [i + 1]);
  const after = await written(() => one.note(store.take()));
  await one.close();
  expect(after).toBeLessThan(whole * 1.1);
  const { tables } = journal().load() ?? {};
  expect(Object.fromEntries(tables ?? [])).toEqual(Object.fromEntries(store.applied));
});

test('while it is not known what there is, nothing is written over', async () => {
  const one = journal();
  set('a', [1]);
  one.note(store.take());
  await one.close();
  const before = readFileSync(join(folder, 'tables.journal'), 'utf8');
  isKnown = false;
  store.delete('ns/a');
  const two = journal();
  two.note(store.take());
  await sleep(30);
  await two.close();
  expect(readFileSync(join(folder, 'tables.journal'), 'utf8')).toBe(before);
});

test('a write that did not end is left out, and the next agent makes the file whole', async () => {
  const one = journal();
  set('a', [1]);
  one.note(store.take());
  await one.close();
  set('b', [2]);
  const [b] = store.take();
  appendFileSync(
    join(folder, 'tables.journal'),
    b?.after === undefined ? '' : tableLine(b.after).slice(0, -5),
  );
  const two = journal();
  expect(two.load()).toMatchObject({ isCut: true, damaged: 0 });
  expect([...(two.load()?.tables.keys() ?? [])]).toEqual(['ns/a']);
  two.note([]);
  await two.close();
  expect(journal().load()).toMatchObject({ isCut: false });
  expect([...(journal().load()?.tables.keys() ?? [])]).toEqual(['ns/a', 'ns/b']);
});

test('a folder that cannot be written is said once, and harms nobody', async () => {
  rmSync(folder, { recursive: true });
  const one = journal();
  expect(one.load()).toBeUndefined();
  set('a', [1]);
  one.note(store.take());
  await one.close();
  expect(said).toEqual(['the tables could not be saved; trying again']);
  folder = mkdtempSync(join(tmpdir(), 'journal-'));
});
