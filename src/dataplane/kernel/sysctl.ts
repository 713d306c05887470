// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';

/**
 * The file of a sysctl, as `net/ipv4/ip_forward`, of the network namespace of whoever opens it. Containers have /proc/sys read-only: there
 * CUBEPLANE_PROC_SYS names a folder at which the node's net/ is mounted.
 */
export function sysctlPath(name: string, env = process.env): string {
  return join(env.CUBEPLANE_PROC_SYS || '/proc/sys', name);
}
