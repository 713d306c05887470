// SPDX-License-Identifier: Apache-2.0
import type { CubeTable, Policy } from '../api/generated/types.ts';
import { API_VERSION } from '../api/group.ts';
import { contentHash } from '../api/hash.ts';
import { labelValue, tableName } from '../api/names.ts';
import type { InputMeta } from './inputs.ts';
import { KUBERNETES_LABELS, MANAGER, TABLE_LABELS } from './labels.ts';

/**
 * The tables of a policy, one a row: slices of one revision, which agents apply at once, so that a half of a policy is never
 * in force. Policies of the cluster have an empty namespace.
 *
 * @param options.namespace where the tables live.
 */
export function policyTables(
  { namespace = '', name = '', uid = '' }: InputMeta,
  rows: readonly Policy[],
  options: { namespace: string },
): CubeTable[] {
  const revision = contentHash(rows);
  const source = namespace === '' ? 'cluster-policy' : 'policy';
  return rows.map(
    (row, index): CubeTable => ({
      apiVersion: API_VERSION,
      kind: 'CubeTable',
      metadata: {
        namespace: options.namespace,
        name: tableName(source, namespace, name, index),
        labels: {
          [KUBERNETES_LABELS.managedBy]: MANAGER,
          [TABLE_LABELS.policyNamespace]: namespace,
          [TABLE_LABELS.policyName]: labelValue(name),
          ...(uid === '' ? {} : { [TABLE_LABELS.ownerUid]: uid }),
        },
      },
      spec: {
        type: 'Policy',
        slice: { owner: uid === '' ? `${namespace}/${name}` : uid, index, count: rows.length, revision },
        policies: [row],
      },
    }),
  );
}
