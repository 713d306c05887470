// SPDX-License-Identifier: Apache-2.0
/** What passed between two looks at the counters, a second. Pure. */
import type { NodeCounters } from '../../dataplane/inspect/counters.ts';

export interface PortRate {
  /** `namespace/name`, or `entry` for interfaces that packets come in by. */
  readonly cube: string;
  /** Name of a port, or of an interface. */
  readonly port: string;
  /** All a second. */
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  /** Of the whole cube, on its first port; of the interface. */
  readonly drops?: number;
}

type Flat = Record<'rxPackets' | 'rxBytes' | 'txPackets' | 'txBytes', number> & { drops?: number };

function flat({ attachments, cubes }: NodeCounters): Map<string, Flat> {
  const rows = new Map<string, Flat>();
  for (const { interface: name, packets, bytes, drops } of attachments)
    rows.set(`entry ${name}`, { rxPackets: packets, rxBytes: bytes, txPackets: 0, txBytes: 0, drops });
  for (const { cube, ports, drops } of cubes) {
    ports.forEach(({ port, ...counts }, i) => {
      const all = drops.reduce((sum, { packets }) => sum + packets, 0);
      rows.set(`${cube} ${port}`, { ...counts, ...(i === 0 ? { drops: all } : {}) });
    });
  }
  return rows;
}

/** A counter that went back, as of a cube made anew, counts from zero. */
export function rates(before: NodeCounters, now: NodeCounters): PortRate[] {
  const seconds = Math.max(1e-3, (now.time - before.time) / 1000);
  const old = flat(before);
  return [...flat(now)].map(([key, row]) => {
    const was = old.get(key);
    const rate = (name: keyof Flat): number => {
      const [a, b] = [was?.[name] ?? 0, row[name] ?? 0];
      return (b >= a ? b - a : b) / seconds;
    };
    const at = key.indexOf(' ');
    return {
      cube: key.slice(0, at),
      port: key.slice(at + 1),
      rxPackets: rate('rxPackets'),
      rxBytes: rate('rxBytes'),
      txPackets: rate('txPackets'),
      txBytes: rate('txBytes'),
      ...(row.drops === undefined ? {} : { drops: rate('drops') }),
    };
  });
}
