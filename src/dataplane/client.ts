// SPDX-License-Identifier: Apache-2.0
import { connect } from 'node:net';
import { join } from 'node:path';
import { AgentError, type AgentErrorCode } from './errors.ts';
import { type Method, type Methods, type Response, SOCKET_NAME } from './protocol.ts';

const TIMEOUT_MS = 30_000;

/**
 * Asks the running agent of a node. `stateDir` is the node's own folder below the state root. Throws AgentError: what the
 * agent answered, or AgentNotRunning.
 */
export async function askAgent<M extends Method>(
  stateDir: string,
  method: M,
  params: Methods[M]['params'],
  timeoutMs: number = TIMEOUT_MS,
): Promise<Methods[M]['result']> {
  const path = join(stateDir, SOCKET_NAME);
  const line = await new Promise<string>((resolve, reject) => {
    const socket = connect(path);
    let text = '';
    const fail = (error: Error) => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(
      () =>
        fail(
          new AgentError(
            'AgentNotRunning',
            `the agent at ${path} did not answer within ${timeoutMs} ms`,
            'look at its log',
          ),
        ),
      timeoutMs,
    );
    socket.setEncoding('utf8');
    socket.once('connect', () => socket.write(`${JSON.stringify({ method, params })}\n`));
    socket.once('error', (cause: NodeJS.ErrnoException) => fail(notRunning(path, cause)));
    socket.once('close', () =>
      fail(
        new AgentError('AgentNotRunning', `the agent at ${path} ended without an answer`, 'look at its log'),
      ),
    );
    socket.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end < 0) return;
      clearTimeout(timer);
      socket.removeAllListeners('close');
      socket.end();
      resolve(text.slice(0, end));
    });
  });
  const response = JSON.parse(line) as Response;
  if (response.ok) return response.result as Methods[M]['result'];
  const { code, message, remedy } = response.error;
  throw new AgentError(code as AgentErrorCode, message, remedy);
}

function notRunning(path: string, cause: NodeJS.ErrnoException): AgentError {
  if (cause.code === 'EACCES' || cause.code === 'EPERM') {
    return new AgentError('NotPermitted', `${path} may be opened by root only`, 'run this as root', cause);
  }
  return new AgentError(
    'AgentNotRunning',
    `no agent answers at ${path}`,
    'start it with cubeplane up, or give the --node and --state-dir that it was started with',
    cause,
  );
}

/** Whether an agent is there: one that takes a connection and does not answer it is busy, or about to end. */
export async function isAgentRunning(stateDir: string): Promise<boolean> {
  try {
    await askAgent(stateDir, 'status', {}, 5_000);
    return true;
  } catch (error) {
    const isThere = !(error instanceof AgentError && error.code === 'AgentNotRunning');
    return isThere || error.cause === undefined;
  }
}
