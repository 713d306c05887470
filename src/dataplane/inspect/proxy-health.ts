// SPDX-License-Identifier: Apache-2.0
/**
 * What kube-proxy serves at port 10256, for cloud load balancers that ask each node whether to send it traffic (KEP-3836):
 * `/healthz` is 200 while the node's network works and the node stays, `/livez` while the network works; else 503.
 */
import { createServer, type Server } from 'node:http';
import { listenOn } from './listen.ts';

/** A failure that lasts longer than this is no hiccup; kube-proxy's own limit. */
const PATIENCE_MS = 60_000;
/** Of the cluster autoscaler: it is about to remove the node. */
const LEAVING_TAINT = 'ToBeDeletedByClusterAutoscaler';

export interface ProxyHealth {
  /** The kernel holds a chain that serves the pods. */
  readonly servesPods: boolean;
  /** When the agent's rounds began to fail, ms since the epoch; undefined: they do not. */
  readonly failingSince: number | undefined;
  /** Keys of the Node's taints. */
  readonly taints: readonly string[];
  readonly isLeaving: boolean;
}

export interface HealthAnswer {
  readonly status: 200 | 503;
  readonly body: {
    readonly lastUpdated: string;
    readonly currentTime: string;
    readonly nodeEligible?: boolean;
  };
}

/** Whether the agent programs the node: its rounds do not fail, or not for long. Times are ms since the epoch. */
export function works(failingSince: number | undefined, now = Date.now()): boolean {
  return failingSince === undefined || now - failingSince < PATIENCE_MS;
}

/** Whether the node's network works. */
export function isWorking({ servesPods, failingSince }: ProxyHealth, now: number): boolean {
  return servesPods && works(failingSince, now);
}

/** The answer to a path; undefined: there is no such path. Pure. */
export function proxyHealthAnswer(path: string, health: ProxyHealth, now: number): HealthAnswer | undefined {
  if (path !== '/healthz' && path !== '/livez') return undefined;
  const { failingSince, taints, isLeaving } = health;
  const hasNetwork = isWorking(health, now);
  const nodeEligible = !isLeaving && !taints.includes(LEAVING_TAINT);
  const times = {
    lastUpdated: new Date(failingSince ?? now).toISOString(),
    currentTime: new Date(now).toISOString(),
  };
  if (path === '/livez') return { status: hasNetwork ? 200 : 503, body: times };
  return { status: hasNetwork && nodeEligible ? 200 : 503, body: { ...times, nodeEligible } };
}

/** Serves it on an address such as `[::]:10256`. Throws AgentError InvalidRequest. */
export async function serveProxyHealth(address: string, health: () => ProxyHealth): Promise<Server> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://node');
    const answer = proxyHealthAnswer(pathname, health(), Date.now());
    if (answer === undefined) {
      response.statusCode = 404;
      response.end('there are /healthz and /livez\n');
      return;
    }
    response.writeHead(answer.status, {
      'content-type': 'application/json',
      'x-content-type-options': 'nosniff',
    });
    response.end(`${JSON.stringify(answer.body)}\n`);
  });
  await listenOn(server, address, '--healthz-address', '[::]:10256');
  return server;
}
