// SPDX-License-Identifier: Apache-2.0
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { describeAction } from './actions.ts';
import type { Agent } from './agent.ts';
import { AgentError, textOf } from './errors.ts';
import type { TablesRequest } from './inspect/tables.ts';
import type { DryRunRequest } from './inspection.ts';
import type { PlugRequest } from './plug-request.ts';
import { isTooLong, listenPrivately } from './private-socket.ts';
import { MAX_LINE, type Method, type Methods, type Request, type Response, SOCKET_NAME } from './protocol.ts';
import type { FilterRequest } from './trace/live-filter.ts';

/** Serves requests on a socket that only root can open. */
export class AgentServer {
  readonly #agent: Agent;
  readonly #path: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isEnding = false;

  constructor(agent: Agent, stateDir: string) {
    this.#agent = agent;
    this.#path = join(stateDir, SOCKET_NAME);
    this.#server = createServer((socket) => this.#serve(socket));
  }

  /** Call it only when no other agent of the node runs: it takes the socket over. Throws AgentError. */
  async start(): Promise<void> {
    if (isTooLong(this.#path)) {
      throw new AgentError(
        'StateUnreadable',
        `the path of the socket ${this.#path} is longer than 107 bytes`,
        'choose a shorter --state-dir',
      );
    }
    await listenPrivately(this.#server, this.#path);
  }

  /** From now on it says no more than that it is there, while the agent ends: nobody else may touch the node before. */
  end(): void {
    this.#isEnding = true;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    rmSync(this.#path, { force: true });
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    let text = '';
    socket.setEncoding('utf8');
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > MAX_LINE) {
        socket.destroy();
        return;
      }
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        void this.#answer(line).then((response) => {
          if (!socket.destroyed) socket.write(`${JSON.stringify(response)}\n`);
        });
      }
    });
  }

  async #answer(line: string): Promise<Response> {
    try {
      const { method, params } = JSON.parse(line) as Request;
      return { ok: true, result: await this.#call(method, params) };
    } catch (error) {
      const known = error instanceof AgentError ? error : undefined;
      return {
        ok: false,
        error: {
          code: known?.code ?? 'InvalidRequest',
          message: known?.message ?? textOf(error),
          remedy: known?.remedy ?? '',
        },
      };
    }
  }

  async #call(method: Method, params: unknown): Promise<unknown> {
    if (this.#isEnding && method !== 'status')
      throw new AgentError(
        'AgentNotRunning',
        'the agent of this node is ending',
        'try again with the next one',
      );
    switch (method) {
      case 'plug':
        // Labels are the API server's to tell, host ports and bandwidth the runtime's.
        return await this.#agent.plug({
          ...(params as PlugRequest),
          about: undefined,
          hostPorts: undefined,
          bandwidth: undefined,
          made: undefined,
        });
      case 'unplug': {
        const { namespace, name } = params as { namespace: string; name: string };
        return { wasPlugged: await this.#agent.unplug(namespace, name) };
      }
      case 'plan':
        return { actions: (await this.#agent.plan()).map(describeAction) };
      case 'pods':
        return { pods: this.#agent.pods() };
      case 'status':
        return this.#agent.health();
      case 'traceDry':
        return await this.#agent.inspect((inspection) => inspection.dryRun(params as DryRunRequest));
      case 'startTrace':
        await this.#agent.inspect((inspection) => inspection.startTrace(params as FilterRequest));
        return {};
      case 'readTrace':
        return this.#agent.inspection.readTrace();
      case 'stopTrace':
        this.#agent.inspection.stopTrace();
        return {};
      case 'counters':
        return await this.#agent.inspection.counters();
      case 'refusals':
        return { refusals: await this.#agent.inspection.refusals() };
      case 'startFlows':
        return {
          reader: this.#agent.inspection.flows.open((params as Methods['startFlows']['params']).verdicts),
        };
      case 'readFlows':
        return this.#agent.inspection.flows.read((params as Methods['readFlows']['params']).reader);
      case 'stopFlows':
        this.#agent.inspection.flows.end((params as Methods['stopFlows']['params']).reader);
        return {};
      case 'listTables':
        return { tables: await this.#agent.inspection.listTables(params as TablesRequest) };
      case 'readTable':
        return await this.#agent.inspection.readTable(params as TablesRequest);
      case 'allowRemoval':
        return { held: this.#agent.allowRemoval()?.what };
      default:
        throw new AgentError(
          'InvalidRequest',
          `there is no method ${String(method)}`,
          'use the command line of the same version',
        );
    }
  }
}
