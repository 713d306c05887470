// SPDX-License-Identifier: Apache-2.0
/** What a client is told to try, and what it says came of it. Pure. */
import type { Family } from '../../api/ip.ts';
import type { TestName } from './tests.ts';

/** `Connect`: a TCP connection is all; `Name`: a look-up of a name; `Http`: any HTTP answer counts. */
export type ProbeKind = 'TCP' | 'UDP' | 'Connect' | 'Http' | 'Name';

/** `by`: names of the servers (addresses, for a name) that may answer. */
export type Expectation =
  /** Every question is answered; with `seesClient` the server sees the client's own address. */
  | { readonly type: 'Answered'; readonly by: readonly string[]; readonly seesClient?: boolean }
  /** All of them answer, in turn. */
  | { readonly type: 'AnsweredByEach'; readonly by: readonly string[]; readonly seesClient?: boolean }
  /** The same one answers each time. */
  | { readonly type: 'AnsweredByOne'; readonly by: readonly string[] }
  | { readonly type: 'Silence' };

/** Environment variable that holds the questions of a client. */
export const QUESTIONS = 'CUBEPLANE_PROBES';

/** What a client has to know. */
export interface Question {
  readonly kind: ProbeKind;
  /** Address, name, or URL. */
  readonly address: string;
  readonly port: number;
  readonly family?: Family;
  /** Questions of one try, one after another, a connection each. */
  readonly count: number;
  readonly expect: Expectation;
}

/** Where a trace of the first packet begins: what `cubeplane trace --from` takes, and the packet's ends. */
export interface TraceStart {
  readonly node: string;
  readonly from: string;
  readonly source: string;
  readonly address: string;
  readonly port: number;
}

export interface Probe extends Question {
  readonly test: TestName;
  /** In words: `client-1 > server-2`. */
  readonly path: string;
  /** Name of the pod that tries it. */
  readonly client: string;
  /** Absent for what is no packet to an address that is known. */
  readonly trace?: TraceStart;
}

/** What came of the last try. */
export interface Outcome {
  /** Who answered, each once. */
  readonly by: readonly string[];
  /** Whether all that answered saw the client's own address. */
  readonly sawClient: boolean;
  /** Of the first question without an answer: an errno, `Timeout` or `Closed`. */
  readonly error?: string;
  readonly tries: number;
}

export interface Verdict {
  readonly passed: boolean;
  /** What was wrong; empty where it passed. */
  readonly why: string;
}

const PASSED: Verdict = { passed: true, why: '' };
const failed = (why: string): Verdict => ({ passed: false, why });

/** Whether an outcome is what was expected. `undefined`: the client said nothing. */
export function verdictOf(expect: Expectation, outcome: Outcome | undefined): Verdict {
  if (outcome === undefined) return failed('the client did not say what came of it');
  const { by, error, sawClient } = outcome;
  if (expect.type === 'Silence')
    return by.length === 0 ? PASSED : failed(`${by.join(', ')} answered; nobody may`);
  if (error !== undefined) return failed(errorWords(error, by));
  const strange = by.filter((name) => expect.by.length > 0 && !expect.by.includes(name));
  if (strange.length > 0) return failed(`${strange.join(', ')} answered, not ${expect.by.join(' or ')}`);
  if (expect.type === 'AnsweredByOne')
    return by.length === 1 ? PASSED : failed(`${by.join(' and ')} answered, not always the same`);
  const missing = expect.type === 'AnsweredByEach' ? expect.by.filter((name) => !by.includes(name)) : [];
  if (missing.length > 0) return failed(`${missing.join(', ')} never answered`);
  return expect.seesClient && !sawClient
    ? failed('the server saw another address than that of the client')
    : PASSED;
}

const ERRORS: Readonly<Record<string, string>> = {
  Timeout: 'no answer in time',
  Closed: 'the connection was closed without an answer',
  ECONNREFUSED: 'refused (ECONNREFUSED)',
  ECONNRESET: 'the connection was reset (ECONNRESET)',
  EHOSTUNREACH: 'the host is unreachable (EHOSTUNREACH)',
  ENETUNREACH: 'the network is unreachable (ENETUNREACH)',
  EACCES: 'administratively prohibited (EACCES)',
  ENOTFOUND: 'the name is unknown (ENOTFOUND)',
  EAI_AGAIN: 'the DNS server gave no answer (EAI_AGAIN)',
};

function errorWords(error: string, by: readonly string[]): string {
  const words = ERRORS[error] ?? error;
  return by.length === 0 ? words : `${words}, though ${by.join(', ')} answered before`;
}

/** Outcomes as a termination message holds them: the kubelet cuts it at 4096 bytes. */
export function encodeOutcomes(outcomes: readonly Outcome[]): string {
  return JSON.stringify(
    outcomes.map(({ by, sawClient, error, tries }) => [
      tries,
      by.join(' '),
      Number(sawClient),
      ...(error ? [error] : []),
    ]),
  );
}

/** Undefined for what is no such message. */
export function decodeOutcomes(message: string): Outcome[] | undefined {
  try {
    const rows = JSON.parse(message) as [number, string, number, string?][];
    return rows.map(([tries, by, sawClient, error]) => ({
      by: by.split(' ').filter((name) => name !== ''),
      sawClient: sawClient === 1,
      tries,
      ...(error === undefined ? {} : { error }),
    }));
  } catch {
    return undefined;
  }
}
