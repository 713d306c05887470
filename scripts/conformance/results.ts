// SPDX-License-Identifier: Apache-2.0
/** What upstream's tests wrote: JUnit files, and the list of their names. Pure. */
import { reasonFor, reasonForSkip } from './reasons.ts';

export interface TestCase {
  readonly name: string;
  readonly status: 'passed' | 'failed' | 'skipped';
  readonly seconds: number;
  /** Of a failure or of a test that skipped itself. */
  readonly message: string;
}

export interface Outcome extends TestCase {
  /** Of one that was skipped; without it something is wrong. */
  readonly fact?: string;
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** Text of an attribute or element, without XML's escapes. */
function unescapeXml(text: string): string {
  return text.replace(/&(#x[0-9a-fA-F]+|#\d+|\w+);/g, (whole, name: string) => {
    if (name.startsWith('#x')) return String.fromCodePoint(Number.parseInt(name.slice(2), 16));
    if (name.startsWith('#')) return String.fromCodePoint(Number(name.slice(1)));
    return ENTITIES[name] ?? whole;
  });
}

/**
 * The tests of a JUnit file as ginkgo writes it, those left out that were not chosen: they are skipped without a message. Ginkgo's
 * own steps before and after all tests count as tests when they fail.
 */
export function parseJunit(xml: string): TestCase[] {
  const cases: TestCase[] = [];
  for (const [, attributes = '', body = ''] of xml.matchAll(
    /<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g,
  )) {
    const attribute = (text: string, name: string) =>
      unescapeXml(new RegExp(`\\b${name}="([^"]*)"`).exec(text)?.[1] ?? '');
    const full = attribute(attributes, 'name');
    const state = attribute(attributes, 'status');
    const skipped = /<skipped([^>]*)>/.exec(body)?.[1];
    const [, failed] = /<(?:failure|error)[^>]*>([^<]*)/.exec(body) ?? [];
    const isTest = full.startsWith('[It] ');
    const message =
      failed === undefined
        ? attribute(skipped ?? '', 'message').replace(/^skipped( - )?/, '')
        : unescapeXml(failed).replace(/^\[\w+\] /, '');
    if (!isTest && failed === undefined) continue;
    if (failed === undefined && (state === 'pending' || (state === 'skipped' && message === ''))) continue;
    cases.push({
      name: full.replace(/^\[It\] /, ''),
      status: failed !== undefined ? 'failed' : state === 'skipped' ? 'skipped' : 'passed',
      seconds: Number(attribute(attributes, 'time')),
      message,
    });
  }
  return cases;
}

/** Names of tests in the output of `e2e.test --list-tests`, which puts each behind its place in the sources. */
export function parseList(text: string): string[] {
  const names = [...text.matchAll(/^\s+\S+\.go:\d+: (.*)$/gm)].map(([, name = '']) => name.trimEnd());
  return [...new Set(names)].sort();
}

/** What became of each test: those that ran, and those that did not, with the fact that prevents them. */
export function outcomesOf(chosen: readonly string[], ran: readonly TestCase[]): Outcome[] {
  const byName = new Map(ran.map((one) => [one.name.trimEnd(), one]));
  const outcomes: Outcome[] = chosen.map((name) => {
    const one = byName.get(name);
    byName.delete(name);
    if (one !== undefined && one.status !== 'skipped') return { ...one, name };
    const message = one?.message ?? '';
    const fact = (one === undefined ? reasonFor(name) : reasonForSkip(name, message))?.fact;
    return { name, status: 'skipped', seconds: 0, message, ...(fact === undefined ? {} : { fact }) };
  });
  // what is no test of the list: a step before or after all tests that failed
  return [...outcomes, ...byName.values()];
}

/** True where a test failed, or did not run for no reason that is known. */
export function isBad({ status, fact }: Outcome): boolean {
  return status === 'failed' || (status === 'skipped' && fact === undefined);
}
