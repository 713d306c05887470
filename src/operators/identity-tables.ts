// SPDX-License-Identifier: Apache-2.0
import type { CubeTable } from '../api/generated/types.ts';
import { API_VERSION } from '../api/group.ts';
import { tableName } from '../api/names.ts';
import type { PodIdentity } from './identity.ts';
import { KUBERNETES_LABELS, MANAGER, TABLE_LABELS } from './labels.ts';
import { spread } from './slices.ts';

/** Most addresses of a row by the CubeTable schema, and how many slices are sized for. */
const BOUNDS = { most: 500, target: 320 } as const;

/**
 * An identity and its addresses → CubeTables, one up to 500 addresses. The tables are named by what the identity is, so
 * they stay the same ones when it gets another number.
 */
export function tablesOfIdentity(
  identity: PodIdentity,
  addresses: readonly string[],
  options: { namespace: string },
): CubeTable[] {
  const { key, row } = identity;
  const [namespace = '', hash = ''] = key.split('/');
  const parts = spread(addresses, (address) => address, BOUNDS);
  const revision = `${parts.length}-${row.id.toString(16).padStart(8, '0')}`;
  return parts.map((part, index) => ({
    apiVersion: API_VERSION,
    kind: 'CubeTable',
    metadata: {
      namespace: options.namespace,
      name: tableName('identity', namespace, hash, index),
      labels: {
        [KUBERNETES_LABELS.managedBy]: MANAGER,
        [TABLE_LABELS.podNamespace]: namespace,
        [TABLE_LABELS.identity]: hash,
      },
    },
    spec: {
      type: 'Identity',
      slice: { owner: `identity/${key}`, index, count: parts.length, revision },
      identities: [{ ...row, addresses: part }],
    },
  }));
}
