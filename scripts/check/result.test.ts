// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { checksOfJest, failures, type JestFile, passedCount } from './result.ts';

function results(file: Partial<JestFile>) {
  return {
    numPassedTests: 0,
    numFailedTests: 0,
    testResults: [{ name: '/p/src/a.test.ts', status: 'passed', message: '', assertionResults: [], ...file }],
  };
}

test('a test that passed is a good check, named by file and test', () => {
  const checks = checksOfJest(
    results({ assertionResults: [{ fullName: 'adds', status: 'passed', failureMessages: [] }] }),
    '/p',
  );
  expect(checks).toEqual([{ name: 'src/a.test.ts: adds', ok: true, detail: '' }]);
});

test.each(['pending', 'skipped', 'todo', 'disabled'])('a test with status %s counts as failed', (status) => {
  const [check] = checksOfJest(results({ assertionResults: [{ fullName: 'adds', status }] }), '/p');
  expect(check).toMatchObject({ ok: false, detail: expect.stringContaining('did not run') });
});

test('a file that could not be run is a failure, and so are no tests at all', () => {
  const [broken] = checksOfJest(
    results({ status: 'failed', message: '  ● Test suite failed\n\n  no x' }),
    '/p',
  );
  expect(broken).toEqual({ name: 'src/a.test.ts', ok: false, detail: 'no x' });
  const [none] = checksOfJest({ numPassedTests: 0, numFailedTests: 0, testResults: [] }, '/p');
  expect(none?.ok).toBe(false);
});

test('parts are counted together', () => {
  const good = { name: 'a', ok: true, detail: '' };
  const bad = { name: 'b', ok: false, detail: 'why' };
  const parts = [
    { part: 'lint', seconds: 1, checks: [good] },
    { part: 'unit', seconds: 1, checks: [good, bad] },
  ];
  expect(passedCount(parts)).toBe(2);
  expect(failures(parts)).toEqual([{ part: 'unit', ...bad }]);
});
