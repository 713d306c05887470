// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { FileSet, type FileVersion } from './file-set.ts';
import type { ManifestObject } from './manifest-object.ts';

function entry(file: string, name: string, line = 1): ManifestObject {
  const object = { apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'default', name } };
  return { key: `Service/default/${name}`, object, file, line, document: 0 };
}

function version(file: string, ...names: string[]): FileVersion {
  return { objects: names.map((name, index) => entry(file, name, index + 1)), problems: [] };
}

function broken(file: string): FileVersion {
  const problem = { file, line: 3, reason: 'Syntax', message: 'bad', remedy: 'correct it' };
  return { objects: [], problems: [problem] };
}

const held = (set: FileSet) => {
  const { objects, problems } = set.resolve();
  const from = [...objects.values()].map((object) => `${object.object.metadata.name}@${object.file}`).sort();
  return { from, problems: problems.map((problem) => `${problem.file}: ${problem.reason}`) };
};

test('a broken file keeps its last good version in force', () => {
  const set = new FileSet();
  set.set('a.yaml', version('a.yaml', 'x', 'y'));
  expect(held(set)).toEqual({ from: ['x@a.yaml', 'y@a.yaml'], problems: [] });
  set.set('a.yaml', broken('a.yaml'));
  expect(held(set)).toEqual({ from: ['x@a.yaml', 'y@a.yaml'], problems: ['a.yaml: Syntax'] });
  set.set('a.yaml', version('a.yaml', 'y'));
  expect(held(set)).toEqual({ from: ['y@a.yaml'], problems: [] });
  set.delete('a.yaml');
  expect(held(set)).toEqual({ from: [], problems: [] });
});

test('a file that was never good holds nothing; one that was good in an earlier life holds that', () => {
  const set = new FileSet();
  set.set('a.yaml', broken('a.yaml'));
  set.set('b.yaml', broken('b.yaml'), version('b.yaml', 'x'));
  expect(held(set).from).toEqual(['x@b.yaml']);
});

test('an object in two files belongs to the one that had it first, and both places are named', () => {
  const set = new FileSet();
  set.set('b.yaml', version('b.yaml', 'x'));
  held(set);
  set.set('a.yaml', version('a.yaml', 'other', 'x'));
  const { objects, problems } = set.resolve();
  expect([...objects.keys()]).toEqual(['Service/default/x']);
  expect(problems).toEqual([
    expect.objectContaining({
      file: 'a.yaml',
      line: 2,
      object: 'Service default/x',
      message: 'the same object stands in b.yaml:1',
    }),
  ]);
});

test('of two new files the first by name has it', () => {
  const set = new FileSet();
  set.set('b.yaml', version('b.yaml', 'x'));
  set.set('a.yaml', version('a.yaml', 'x'));
  expect(held(set)).toEqual({ from: ['x@a.yaml'], problems: ['b.yaml: DuplicateObject'] });
});

test('an object moves to another file in either order of writing', () => {
  const set = new FileSet();
  set.set('a.yaml', version('a.yaml', 'x', 'y'));
  held(set);
  set.set('b.yaml', version('b.yaml', 'x'));
  expect(held(set).from).toEqual(['x@a.yaml', 'y@a.yaml']);
  set.set('a.yaml', version('a.yaml', 'y'));
  expect(held(set)).toEqual({ from: ['x@b.yaml', 'y@a.yaml'], problems: [] });
});

test('the last good version of a broken file gives way where it meets an object in force elsewhere', () => {
  const set = new FileSet();
  set.set('b.yaml', broken('b.yaml'), version('b.yaml', 'x', 'y'));
  set.set('a.yaml', version('a.yaml', 'x'));
  expect(held(set)).toEqual({ from: ['x@a.yaml', 'y@b.yaml'], problems: ['b.yaml: Syntax'] });
});
