// SPDX-License-Identifier: Apache-2.0
import { createServer, type Server } from 'node:http';
import type { CubeImage, ServiceHealth } from '../../cubes/cube-type.ts';
import type { AgentLog } from '../agent-options.ts';
import { byPort, healthAnswer, healthOf, nameOf } from './service-health.ts';

/** How soon a port that somebody else has is tried again. */
const RETRY_MS = 5000;

interface Listener {
  readonly server: Server;
  health: ServiceHealth;
  /** Why nobody answers there. */
  problem: string | undefined;
  retry: NodeJS.Timeout | undefined;
}

/**
 * Answers load balancers outside on the `healthCheckNodePort` of each Service, on all addresses of the node. The sockets are
 * this process's: while no agent runs nobody answers, and load balancers leave the node out.
 */
export class HealthServers {
  readonly #log: AgentLog;
  readonly #isProxyHealthy: () => boolean;
  readonly #changed: () => void;
  readonly #listeners = new Map<number, Listener>();
  #conflicts: readonly string[] = [];

  /** @param changed called when {@link problems} has changed by itself. */
  constructor(log: AgentLog, isProxyHealthy: () => boolean, changed: () => void) {
    this.#log = log;
    this.#isProxyHealthy = isProxyHealthy;
    this.#changed = changed;
  }

  /** Services whose port cannot be had, each in words that name it and the remedy. */
  get problems(): readonly string[] {
    return [...this.#conflicts, ...[...this.#listeners.values()].flatMap(({ problem }) => problem ?? [])];
  }

  /** These cubes run now. */
  follow(running: Iterable<{ readonly image: CubeImage }>): void {
    this.sync(healthOf(running));
  }

  /** These are the Services now. */
  sync(all: Iterable<ServiceHealth>): void {
    const { ports, problems } = byPort(all);
    this.#conflicts = problems;
    for (const [port, { server, retry }] of this.#listeners) {
      if (ports.has(port)) continue;
      this.#listeners.delete(port);
      clearTimeout(retry);
      close(server);
    }
    for (const [port, health] of ports) {
      const listener = this.#listeners.get(port);
      if (listener === undefined) this.#open(port, health);
      else listener.health = health;
    }
  }

  stop(): void {
    this.sync([]);
  }

  #open(port: number, health: ServiceHealth): void {
    const server = createServer((request, response) => {
      request.resume();
      const { status, headers, body } = healthAnswer(listener.health, this.#isProxyHealthy());
      response.writeHead(status, headers).end(body);
    });
    const listener: Listener = { server, health, problem: undefined, retry: undefined };
    this.#listeners.set(port, listener);
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (this.#listeners.get(port) !== listener) return;
      listener.retry = setTimeout(() => server.listen(port), RETRY_MS);
      listener.retry.unref();
      this.#told(listener, problemText(listener.health, error));
    });
    server.on('listening', () => this.#told(listener, undefined));
    // No host: all addresses of both families, of IPv4 alone where the node has no IPv6.
    server.listen(port);
    server.unref();
  }

  #told(listener: Listener, problem: string | undefined): void {
    if (listener.problem === problem) return;
    listener.problem = problem;
    if (problem !== undefined) this.#log.warn({}, problem);
    this.#changed();
  }
}

function close(server: Server): void {
  server.close();
  server.closeAllConnections();
}

function problemText(health: ServiceHealth, { code, message }: NodeJS.ErrnoException): string {
  const where = `Service ${nameOf(health)}: spec.healthCheckNodePort ${health.port}`;
  return code === 'EADDRINUSE'
    ? `${where} is in use by another process of the node, so load balancers find no backend here; end that process (ss -ltnp 'sport = :${health.port}' names it), or give the Service another port`
    : `${where}: the node cannot listen on it: ${message}`;
}
