// SPDX-License-Identifier: Apache-2.0
/** Which rules and policies have refused packets, by the counters that a cube type keeps of its rules. */
import type { Explanation } from '../../cubes/cube-type.ts';
import type { Running } from '../images.ts';
import { rowsOf } from '../kernel/map-reader.ts';
import type { Pins } from '../kernel/pins.ts';
import { mapPath } from './counters.ts';
import { describedMaps } from './tables.ts';

export interface Refusals extends Explanation {
  /** `namespace/name`. */
  readonly cube: string;
  readonly packets: number;
}

/** Most first. Throws KernelError. */
export async function readRefusals(pins: Pins, running: Iterable<Running>): Promise<Refusals[]> {
  const found: Refusals[] = [];
  for (const one of running) {
    const { image, instance, plan } = one;
    if (image.explain === undefined) continue;
    for (const { name, objects, counts } of describedMaps(plan.cube.type.type)) {
      const codec = plan.cube.type.maps[name]?.codec;
      if (counts !== true || objects?.key !== 'rule' || codec === undefined) continue;
      for await (const { key, values } of rowsOf(mapPath(pins, one, name))) {
        const rule = image.explain(BigInt(codec.decodeKey(key) as number | bigint));
        if (rule === undefined || rule.action === 'Allow') continue;
        const packets = values.reduce((sum, value) => sum + Number(value.readBigUInt64LE()), 0);
        found.push({ cube: instance.cubeKey, packets, ...rule });
      }
    }
  }
  return found.sort((a, b) => b.packets - a.packets || (a.text < b.text ? -1 : 1));
}
