// SPDX-License-Identifier: Apache-2.0
import type { CubeImage, ServiceHealth } from '../../cubes/cube-type.ts';

/** What a load balancer outside gets to hear. */
export interface HealthAnswer {
  readonly status: 200 | 503;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What the cubes of the node tell. */
export function healthOf(running: Iterable<{ readonly image: CubeImage }>): ServiceHealth[] {
  return [...running].flatMap(({ image }) => [...(image.health?.() ?? [])]);
}

/** The answer to any request, byte for byte like kube-proxy's, whose readers are many. */
export function healthAnswer(health: ServiceHealth, isProxyHealthy: boolean): HealthAnswer {
  const { namespace, name, localEndpoints } = health;
  const answer = { service: { namespace, name }, localEndpoints, serviceProxyHealthy: isProxyHealthy };
  return {
    status: localEndpoints > 0 && isProxyHealthy ? 200 : 503,
    headers: {
      'content-type': 'application/json',
      'x-content-type-options': 'nosniff',
      'x-load-balancing-endpoint-weight': String(localEndpoints),
    },
    body: JSON.stringify(answer, null, '\t'),
  };
}

/**
 * Who answers on each port. Several cubes may tell of one Service: the answer is the same from each. Of two Services that want
 * one port, which no API server gives them, the one with the smaller name has it.
 */
export function byPort(all: Iterable<ServiceHealth>): {
  readonly ports: ReadonlyMap<number, ServiceHealth>;
  readonly problems: readonly string[];
} {
  const ports = new Map<number, ServiceHealth>();
  const problems = new Set<string>();
  for (const one of [...all].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))) {
    const holder = ports.get(one.port);
    if (holder === undefined) ports.set(one.port, one);
    else if (nameOf(holder) !== nameOf(one)) {
      problems.add(
        `Service ${nameOf(one)}: spec.healthCheckNodePort ${one.port} belongs to Service ${nameOf(holder)}; give it another one`,
      );
    }
  }
  return { ports, problems: [...problems] };
}

export function nameOf({ namespace, name }: Pick<ServiceHealth, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`;
}
