// SPDX-License-Identifier: Apache-2.0
import { isBad, type Outcome } from './results.ts';

export interface About {
  /** Of Kubernetes and of its tests. */
  readonly version: string;
  readonly nodes: number;
  readonly kernel: string;
  readonly runtime: string;
  /** Command that makes the report again. */
  readonly command: string;
}

const count = (outcomes: readonly Outcome[], status: Outcome['status']): number =>
  outcomes.filter((one) => one.status === status).length;

/** One line: numbers of tests. */
export function summaryOf(outcomes: readonly Outcome[]): string {
  const bad = outcomes.filter((one) => one.status === 'skipped' && isBad(one)).length;
  const without = bad === 0 ? '' : `, ${bad} of them for no known reason`;
  return `${count(outcomes, 'passed')} passed, ${count(outcomes, 'failed')} failed, ${count(outcomes, 'skipped')} not run${without}`;
}

/** Lines for a terminal: what failed, what did not run and why, and the numbers. */
export function linesOf(outcomes: readonly Outcome[]): string[] {
  const lines = outcomes
    .filter(({ status }) => status === 'failed')
    .flatMap(({ name, message }) => [`failed   ${name}`, `         ${message.split('\n')[0]}`]);
  for (const [fact, names] of byFact(outcomes)) lines.push(`not run  ${names.length}: ${fact}`);
  for (const { name, message } of outcomes.filter((one) => one.status === 'skipped' && isBad(one)))
    lines.push(
      `not run  ${name}`,
      `         no known reason${message === '' ? '' : `; it says: ${message.split('\n')[0]}`}`,
    );
  return [...lines, summaryOf(outcomes)];
}

function byFact(outcomes: readonly Outcome[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const { name, fact } of outcomes)
    if (fact !== undefined) groups.set(fact, [...(groups.get(fact) ?? []), name]);
  return groups;
}

/** What a name starts with says what it is about: `Services`, `DNS`, `Netpol`. */
function topicOf(name: string): string {
  const rest = name.replace(/^\[sig-network\] /, '').replace(/^(\[Feature:\w+\] )+/, '');
  return /^(\[Feature:IPv6DualStack\]|Granular Checks)/.test(rest) || name.includes('[Feature:IPv6DualStack]')
    ? 'Dual stack'
    : (/^[\w-]+(?: [A-Z][\w-]+)*/.exec(rest)?.[0] ?? 'Other');
}

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

/** The page docs/conformance.md. */
export function pageOf(outcomes: readonly Outcome[], about: About): string {
  const topics = new Map<string, Outcome[]>();
  for (const one of outcomes) topics.set(topicOf(one.name), [...(topics.get(topicOf(one.name)) ?? []), one]);
  const numbers = [...topics]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(
      ([topic, of]) =>
        `| ${topic} | ${count(of, 'passed')} | ${count(of, 'failed')} | ${count(of, 'skipped')} |`,
    );
  const failed = outcomes.filter(({ status }) => status === 'failed');
  const unexplained = outcomes.filter((one) => one.status === 'skipped' && isBad(one));
  const required = outcomes.filter(({ name }) => name.includes('[Conformance]'));
  const section = (title: string, lines: readonly string[]) =>
    lines.length === 0 ? [] : ['', `## ${title}`, '', ...lines];
  const names = (of: readonly string[]) => of.map((name) => `- ${cell(name)}`);
  return `${[
    '# Conformance',
    '',
    `<!-- Written by ${about.command}; do not edit. -->`,
    '',
    `Kubernetes' own end-to-end tests of networking (\`[sig-network]\`, ${about.version}), run on the [cluster with real nodes](real-cluster.md)`,
    `with this project as its only network: ${about.nodes} nodes, ${about.runtime}, Linux ${about.kernel}, both families, no kube-proxy.`,
    '',
    `**${summaryOf(outcomes)}.** Of those that every conformant cluster must pass (\`[Conformance]\`): ${summaryOf(required)}.`,
    '',
    'To run them:',
    '',
    '```',
    about.command,
    '```',
    '',
    '| about | passed | failed | not run |',
    '|---|---:|---:|---:|',
    ...numbers,
    ...section(
      'Failed',
      failed.map(({ name, message }) => `- ${cell(name)}: ${cell(message.split('\n')[0] ?? '')}`),
    ),
    ...section('Not run, for no known reason', names(unexplained.map(({ name }) => name))),
    ...section(
      'Not run',
      [...byFact(outcomes)].flatMap(([fact, of], index) => [
        ...(index === 0 ? [] : ['']),
        `${fact[0]?.toUpperCase()}${fact.slice(1)}:`,
        '',
        ...names(of),
      ]),
    ),
    ...section('Passed', names(outcomes.filter(({ status }) => status === 'passed').map(({ name }) => name))),
  ].join('\n')}\n`;
}
