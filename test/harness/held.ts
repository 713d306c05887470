// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

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

/** As {@link heldBpf}, once the kinds that are wanted are as they should; what a process opens for a moment passes. */
export async function heldBpfOnce(
  pid: number,
  wanted: Record<string, number>,
  timeoutMs = 15_000,
): Promise<Record<string, number>> {
  for (const deadline = Date.now() + timeoutMs; ; await sleep(100)) {
    const held = heldBpf(pid);
    const isSo = Object.entries(wanted).every(([kind, count]) => held[kind] === count);
    if (isSo || Date.now() > deadline) return held;
  }
}
