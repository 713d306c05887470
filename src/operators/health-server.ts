// SPDX-License-Identifier: Apache-2.0
import { createServer, type Server } from 'node:http';
import type { OperatorHealth } from './operator.ts';

/**
 * Serves `/healthz` (the process runs), `/readyz` (all caches are complete), `/metrics` (Prometheus text) and `/state`
 * (the whole {@link OperatorHealth} as JSON) on an address such as `127.0.0.1:8081`.
 */
export async function serveHealth(address: string, health: () => OperatorHealth): Promise<Server> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  const port = Number(address.slice(colon + 1));
  if (colon < 0 || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new Error(`--health-address ${address}: not HOST:PORT; give for example 127.0.0.1:8081`);
  }
  const server = createServer((request, response) => {
    const now = health();
    switch (request.url) {
      case '/healthz':
        response.end('ok\n');
        return;
      case '/readyz':
        response.statusCode = now.synced ? 200 : 503;
        response.end(now.synced ? 'ok\n' : `waiting for ${waitingFor(now)}\n`);
        return;
      case '/metrics':
        response.setHeader('content-type', 'text/plain; version=0.0.4');
        response.end(metricsText(now));
        return;
      case '/state':
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify(now));
        return;
      default:
        response.statusCode = 404;
        response.end('there are /healthz, /readyz, /metrics and /state\n');
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host === '' ? {} : { host }) }, resolve);
  });
  return server;
}

function waitingFor(health: OperatorHealth): string {
  return health.reflectors
    .filter((reflector) => !reflector.synced)
    .map(
      (reflector) =>
        `${reflector.type}${reflector.lastError === undefined ? '' : `: ${reflector.lastError}`}`,
    )
    .join('; ');
}

/** Prometheus' text format; names end in their unit or `_total`, as its conventions ask. */
export function metricsText(health: OperatorHealth): string {
  const lines: string[] = [];
  const add = (name: string, type: 'gauge' | 'counter', help: string, rows: [string, number][]): void => {
    lines.push(
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      ...rows.map(([labels, value]) => `${name}${labels} ${value}`),
    );
  };
  const perKind = (pick: (reflector: OperatorHealth['reflectors'][number]) => number): [string, number][] =>
    health.reflectors.map((reflector) => [`{resource="${reflector.type}"}`, pick(reflector)]);
  const perQueue = (pick: (stats: OperatorHealth['queues'][string]) => number): [string, number][] =>
    Object.entries(health.queues).map(([name, stats]) => [`{queue="${name}"}`, pick(stats)]);
  add('cubeplane_operator_leading', 'gauge', 'Whether this process writes.', [['', health.leading ? 1 : 0]]);
  add('cubeplane_operator_applies_total', 'counter', 'Server-side applies sent.', [['', health.applies]]);
  add('cubeplane_operator_events_dropped_total', 'counter', 'Events left out by the rate limit.', [
    ['', health.eventsDropped],
  ]);
  add(
    'cubeplane_cache_objects',
    'gauge',
    'Objects in the cache.',
    perKind((r) => r.objects),
  );
  add(
    'cubeplane_cache_synced',
    'gauge',
    'Whether a whole list was read.',
    perKind((r) => (r.synced ? 1 : 0)),
  );
  add(
    'cubeplane_lists_total',
    'counter',
    'Whole lists read.',
    perKind((r) => r.lists),
  );
  add(
    'cubeplane_watches_total',
    'counter',
    'Watches opened.',
    perKind((r) => r.watches),
  );
  add(
    'cubeplane_watch_events_total',
    'counter',
    'Changes taken from watches.',
    perKind((r) => r.events),
  );
  add(
    'cubeplane_watches_silent_total',
    'counter',
    'Watches cut because they were silent.',
    perKind((r) => r.silent),
  );
  add(
    'cubeplane_queue_waiting',
    'gauge',
    'Keys that wait.',
    perQueue((q) => q.waiting),
  );
  add(
    'cubeplane_queue_failing',
    'gauge',
    'Keys whose last run failed.',
    perQueue((q) => q.failing),
  );
  add(
    'cubeplane_queue_done_total',
    'counter',
    'Runs that ended well.',
    perQueue((q) => q.done),
  );
  add(
    'cubeplane_queue_failed_total',
    'counter',
    'Runs that failed.',
    perQueue((q) => q.failed),
  );
  return `${lines.join('\n')}\n`;
}
