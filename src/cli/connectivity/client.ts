// SPDX-License-Identifier: Apache-2.0
/** Tries probes by real sockets, from the network that it runs in. */
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeOutcomes, type Outcome, type Question, verdictOf } from './probe.ts';

/** Of one question. */
const ANSWER_MS = 2_000;
/** Objects that were just made reach the nodes within this; what still fails then has failed. */
const PATIENCE_MS = 10_000;
const PAUSE_MS = 500;

interface Answer {
  readonly by: readonly string[];
  readonly sawClient: boolean;
}

/** Tries all at once, each until it is as expected or patience is at an end, and writes down what came of them. */
export async function runClient(questions: readonly Question[], reportPath: string): Promise<void> {
  const outcomes = await Promise.all(questions.map(untilExpected));
  const report = encodeOutcomes(outcomes);
  process.stdout.write(`${report}\n`);
  await writeFile(reportPath, report);
}

async function untilExpected(question: Question): Promise<Outcome> {
  const deadline = performance.now() + PATIENCE_MS;
  for (let tries = 1; ; tries++) {
    const outcome = await tryOnce(question, tries);
    if (verdictOf(question.expect, outcome).passed || performance.now() > deadline) return outcome;
    await sleep(PAUSE_MS);
  }
}

async function tryOnce(question: Question, tries: number): Promise<Outcome> {
  const by = new Set<string>();
  let sawClient = true;
  for (let asked = 0; asked < question.count; asked++) {
    try {
      const answer = await ask(question);
      for (const name of answer.by) by.add(name);
      sawClient &&= answer.sawClient;
    } catch (failure) {
      const { code, message, cause } = failure as NodeJS.ErrnoException;
      const error = code ?? (cause as NodeJS.ErrnoException | undefined)?.code ?? message;
      return { by: [...by], sawClient, error: String(error).slice(0, 40), tries };
    }
  }
  return { by: [...by], sawClient, tries };
}

function ask(question: Question): Promise<Answer> {
  switch (question.kind) {
    case 'TCP':
      return askTcp(question, true);
    case 'Connect':
      return askTcp(question, false);
    case 'UDP':
      return askUdp(question);
    case 'Name':
      return askName(question);
    case 'Http':
      return askHttp(question);
  }
}

class NoAnswer extends Error {
  readonly code: 'Timeout' | 'Closed';
  constructor(code: 'Timeout' | 'Closed') {
    super(code);
    this.code = code;
  }
}

function answerOf(text: string, own: string | undefined): Answer {
  const [name = '?', seen] = text.trim().split(' ');
  return { by: [name], sawClient: seen === own };
}

function askTcp({ address, port }: Question, hasAnswer: boolean): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const socket = connect({ host: address, port, noDelay: true });
  const timer = setTimeout(() => reject(new NoAnswer('Timeout')), ANSWER_MS);
  socket.once('error', reject);
  socket.once('close', () => reject(new NoAnswer('Closed')));
  socket.once('connect', () => {
    if (hasAnswer) socket.write('who\n');
    else resolve({ by: [], sawClient: true });
  });
  socket.once('data', (chunk) => resolve(answerOf(chunk.toString(), socket.localAddress)));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}

function askUdp({ address, port, family }: Question): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
  const timer = setTimeout(() => reject(new NoAnswer('Timeout')), ANSWER_MS);
  socket.once('error', reject);
  socket.once('message', (text) => resolve(answerOf(text.toString(), socket.address().address)));
  // connected, so that the kernel tells of ICMP errors
  socket.connect(port, address, () => socket.send('who\n'));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.close();
  });
}

async function askName({ address, family = 4 }: Question): Promise<Answer> {
  const timeout = sleep(ANSWER_MS * 2, undefined, { ref: false }).then(() => {
    throw new NoAnswer('Timeout');
  });
  const found = await Promise.race([lookup(address, { all: true, family }), timeout]);
  return { by: found.map((one) => one.address), sawClient: true };
}

async function askHttp({ address }: Question): Promise<Answer> {
  const response = await fetch(address, { redirect: 'manual', signal: AbortSignal.timeout(ANSWER_MS * 2) });
  await response.body?.cancel();
  return { by: [], sawClient: true };
}
