// SPDX-License-Identifier: Apache-2.0
import type { CubeTable, Frontend, Service } from '../api/generated/types.ts';
import { API_VERSION } from '../api/group.ts';
import { tableName } from '../api/names.ts';
import { MAX_BACKENDS } from '../api/schemas/cube-table.ts';
import { type Diagnostic, Diagnostics } from './diagnostic.ts';
import type { EndpointSliceInput, ServiceInput } from './inputs.ts';
import { KUBERNETES_LABELS, MANAGER, TABLE_LABELS } from './labels.ts';
import { backendsOf } from './service-backends.ts';
import { frontendsOf, isPort } from './service-frontends.ts';
import { fnv1a, spread } from './slices.ts';

/** Slices are sized for this many backends, so that hashing overfills one only rarely. */
const SLICE_TARGET = 64;

/** CubeTables of one object, and what could not be translated. */
export interface Translation {
  tables: CubeTable[];
  diagnostics: Diagnostic[];
}

/**
 * Service + its EndpointSlices → CubeTables. Pure and total: odd input becomes a diagnostic, never an exception, and the
 * same input gives the same tables in whatever order the slices come.
 *
 * Up to 100 backends make one table. More are spread by a hash of their address over a power of two of slices, so an
 * endpoint that comes, goes or changes rewrites one table; only where the number of slices changes, or a port's name,
 * all of them are new. `slice.revision` names that shape: it stays the same while single slices change.
 *
 * @param slices the EndpointSlices whose label `kubernetes.io/service-name` names the Service, in its namespace.
 * @param options.namespace where the tables live: the provider's namespace, next to the cubes that select them.
 */
export function tablesOfService(
  service: ServiceInput,
  slices: readonly EndpointSliceInput[],
  options: { namespace: string },
): Translation {
  const { namespace = '', name = '', uid = '' } = service.metadata;
  const diagnostics = new Diagnostics(`Service ${namespace}/${name}`);
  const frontends = frontendsOf(service, diagnostics);
  if (frontends.length === 0) return { tables: [], diagnostics: diagnostics.list };
  const backends = backendsOf(service, slices, frontends, diagnostics);
  const parts = spread(backends, (backend) => backend.address, { most: MAX_BACKENDS, target: SLICE_TARGET });
  const healthPort = healthPortOf(service);
  const revision = shapeOf(frontends, parts.length);
  const tables = parts.map((part, index): CubeTable => {
    const row: Service = {
      namespace,
      name,
      ...(uid === '' ? {} : { uid }),
      frontends: index === 0 ? frontends : [],
      ...(index === 0 && healthPort !== undefined ? { healthCheckNodePort: healthPort } : {}),
      backends: part,
    };
    return {
      apiVersion: API_VERSION,
      kind: 'CubeTable',
      metadata: {
        namespace: options.namespace,
        name: tableName('service', namespace, name, index),
        labels: {
          [KUBERNETES_LABELS.managedBy]: MANAGER,
          [TABLE_LABELS.serviceNamespace]: namespace,
          [TABLE_LABELS.serviceName]: name,
          ...(uid === '' ? {} : { [TABLE_LABELS.ownerUid]: uid }),
        },
      },
      spec: {
        type: 'Service',
        slice: { owner: uid === '' ? `${namespace}/${name}` : uid, index, count: parts.length, revision },
        services: [row],
      },
    };
  });
  return { tables, diagnostics: diagnostics.list };
}

/** Only a load balancer that has to find the nodes with backends asks for it. */
function healthPortOf({ spec }: ServiceInput): number | undefined {
  const port = spec?.healthCheckNodePort;
  return spec?.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local' && isPort(port)
    ? port
    : undefined;
}

/** What all slices must agree on: how many there are, and the ports that frontends and backends are joined by. */
function shapeOf(frontends: readonly Frontend[], count: number): string {
  const ports = [...new Set(frontends.map((frontend) => `${frontend.name}/${frontend.protocol}`))].sort();
  return `${count}-${fnv1a(ports.join(',')).toString(16).padStart(8, '0')}`;
}
