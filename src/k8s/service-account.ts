// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs';

/** Where a pod finds token, certificate and namespace of its service account. */
export const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Whether this process runs in a pod that may ask the API server as its service account. */
export function isInPod(env: Readonly<Record<string, string | undefined>>): boolean {
  return env.KUBERNETES_SERVICE_HOST !== undefined && existsSync(`${SERVICE_ACCOUNT}/token`);
}
