// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readlinkSync } from 'node:fs';

/** Programs, maps and links of BPF that a process holds open: how many of each. */
export function heldBpf(pid: number): Record<string, number> {
  const counts: Record<string, number> = {};
  const folder = `/proc/${pid}/fd`;
  for (const fd of readdirSync(folder)) {
    let target = '';
    try {
      target = readlinkSync(`${folder}/${fd}`);
    } catch {
      continue; // closed meanwhile
    }
    const [, kind] = /bpf[-_](\w+)/.exec(target) ?? [];
    if (kind !== undefined) counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}
