// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { readRecord, writeRecord } from './files.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cubeplane-files-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('a record is read as it was written, for root alone, and nothing is beside it', () => {
  const path = join(folder, 'pods', 'a.json');
  writeRecord(path, { name: 'a' });
  writeRecord(path, { name: 'b' });
  expect(readRecord(path)).toEqual({ name: 'b' });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(join(folder, 'pods'))).toEqual(['a.json']);
});

test('a record that is there is replaced whole, a long one is never seen in part', () => {
  const path = join(folder, 'a.json');
  const long = { text: 'x'.repeat(10_000) };
  writeRecord(path, { short: true });
  const before = statSync(path).ino;
  writeRecord(path, long);
  expect(readRecord(path)).toEqual(long);
  expect(statSync(path).ino).not.toBe(before);
  writeRecord(join(folder, 'b.json'), long);
  expect(readRecord(join(folder, 'b.json'))).toEqual(long);
  expect(readdirSync(folder)).toEqual(['a.json', 'b.json']);
});

test('a record that the disk refuses leaves no file', () => {
  const path = join(folder, 'a.json');
  writeFileSync(path, 'no folder');
  expect(() => writeRecord(join(path, 'b.json'), {})).toThrow('ENOTDIR');
  expect(readdirSync(folder)).toEqual(['a.json']);
});

test('one that a crash of the machine left empty is none, and goes; one that holds no JSON is told about', () => {
  const path = join(folder, 'a.json');
  expect(readRecord(path)).toBeUndefined();
  writeFileSync(path, '');
  expect(readRecord(path)).toBeUndefined();
  expect(existsSync(path)).toBe(false);
  writeFileSync(path, '{"na');
  expect(() => readRecord(path)).toThrow('holds no JSON');
});
