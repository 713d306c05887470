// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { reasonFor, reasonForSkip } from './reasons.ts';
import { linesOf, pageOf, summaryOf } from './report.ts';
import { isBad, outcomesOf, parseJunit, parseList } from './results.ts';
import { patternOf } from './run.ts';

const JUNIT = `<?xml version="1.0"?>
<testsuites><testsuite name="Kubernetes e2e suite">
<testcase name="[SynchronizedBeforeSuite]" status="passed" time="0.1"></testcase>
<testcase name="[It] [sig-network] Services should &lt;work&gt; [Conformance]" status="passed" time="2.5"><system-err>x</system-err></testcase>
<testcase name="[It] [sig-network] DNS should answer" status="failed" time="9">
  <failure message="" type="failed">[FAILED] no answer&#xA;In [It] at: dns.go:1</failure>
</testcase>
<testcase name="[It] [sig-network] Topology Hints should distribute endpoints evenly" status="skipped" time="0.2">
  <skipped message="skipped - not enough zones"></skipped>
</testcase>
<testcase name="[It] [sig-apps] not chosen" status="skipped" time="0"><skipped message="skipped"></skipped></testcase>
<testcase name="[It] [sig-apps] neither" status="skipped" time="0"/>
</testsuite></testsuites>`;

test('of a JUnit file there are the tests that were chosen, with what they say', () => {
  expect(parseJunit(JUNIT)).toEqual([
    {
      name: '[sig-network] Services should <work> [Conformance]',
      status: 'passed',
      seconds: 2.5,
      message: '',
    },
    {
      name: '[sig-network] DNS should answer',
      status: 'failed',
      seconds: 9,
      message: 'no answer\nIn [It] at: dns.go:1',
    },
    {
      name: '[sig-network] Topology Hints should distribute endpoints evenly',
      status: 'skipped',
      seconds: 0.2,
      message: 'not enough zones',
    },
  ]);
});

test('a step before all tests that fails is a failure', () => {
  const xml =
    '<testcase name="[SynchronizedBeforeSuite]" status="failed" time="1"><failure message="">no nodes</failure></testcase>';
  const [step] = outcomesOf([], parseJunit(xml));
  expect(step).toMatchObject({ name: '[SynchronizedBeforeSuite]', status: 'failed', message: 'no nodes' });
});

test('the list of tests is read without the places of their sources, each once', () => {
  const text = `The following spec names can be used:
    k8s.io/kubernetes@v1/test/e2e/network/dns.go:1: [sig-network] DNS b
    k8s.io/kubernetes@v1/test/e2e/network/dns.go:9: [sig-network] DNS a${' '}
    k8s.io/kubernetes@v1/test/e2e/network/dns.go:1: [sig-network] DNS b
`;
  expect(parseList(text)).toEqual(['[sig-network] DNS a', '[sig-network] DNS b']);
});

const NAMES = [
  '[sig-network] DNS should answer',
  '[sig-network] Networking should provide Internet connection for containers [Feature:Networking-IPv4]',
  '[sig-network] Services should <work> [Conformance]',
  '[sig-network] Services should vanish',
  '[sig-network] Topology Hints should distribute endpoints evenly',
];

test('what did not run has a fact that prevents it, or is as bad as what failed', () => {
  const outcomes = outcomesOf(NAMES, parseJunit(JUNIT));
  expect(outcomes.filter(isBad).map(({ name }) => name)).toEqual([
    '[sig-network] DNS should answer',
    '[sig-network] Services should vanish',
  ]);
  expect(summaryOf(outcomes)).toBe('1 passed, 1 failed, 3 not run, 1 of them for no known reason');
  const lines = linesOf(outcomes);
  expect(lines).toContain('         no answer');
  expect(lines).toContain(
    'not run  1: needs the Internet, or names that are known there: the cluster has no way out',
  );
  const about = {
    version: 'v1',
    nodes: 2,
    kernel: '6',
    runtime: 'containerd 1',
    command: 'npm run conformance',
  };
  const page = pageOf(outcomes, about);
  expect(page).toContain('| DNS | 0 | 1 | 0 |');
  expect(page).toContain('(`[Conformance]`): 1 passed, 0 failed, 0 not run.');
  for (const name of NAMES) expect(page).toContain(`- ${name}`);
});

test('a test that skips itself needs the reason that it names', () => {
  const name = '[sig-network] Topology Hints should distribute endpoints evenly';
  expect(reasonFor(name)).toBeUndefined();
  expect(reasonForSkip(name, 'Requires at least 3 nodes')?.fact).toContain('zones');
  expect(reasonForSkip(name, 'something else')).toBeUndefined();
});

test('names are chosen to the letter', () => {
  const pattern = new RegExp(patternOf(['[sig-network] a (b)', '[sig-network] c']));
  expect(pattern.test('Kubernetes e2e suite [sig-network] a (b) ')).toBe(true);
  expect(pattern.test('[sig-network] a (b) and more')).toBe(false);
});
