// SPDX-License-Identifier: Apache-2.0
import type { Announcement } from '../../api/generated/types.ts';
import { formatAddress, parseAddress } from '../../api/ip.ts';
import type { Problem } from '../cube-type.ts';
import { problem } from './common.ts';
import { isNoHost } from './outside.ts';

/** Addresses that CubeTables of Announcements give to this node: the cube answers for them as for its own. */
export class Announced {
  readonly #node: string;
  readonly #held = new Map<string, readonly string[]>();
  #addresses: readonly string[] | undefined;

  /** @param node name of the node. */
  constructor(node: string) {
    this.#node = node;
  }

  /** What a table contributes, or that it is gone. */
  set(table: string, rows: readonly Announcement[] | undefined): readonly Problem[] {
    const problems: Problem[] = [];
    const addresses = (rows ?? []).flatMap(({ address, node }, index) => {
      const parsed = parseAddress(address);
      if (node !== this.#node) return [];
      if (parsed !== undefined && !isNoHost(parsed)) return [formatAddress(parsed)];
      const field = `spec.announcements[${index}].address`;
      problems.push(problem('InvalidAddress', field, `${address} is no address of a host`));
      return [];
    });
    this.#addresses = undefined;
    if (addresses.length === 0) this.#held.delete(table);
    else this.#held.set(table, addresses);
    return problems;
  }

  /** Each once, sorted; the same list until they are others. */
  get addresses(): readonly string[] {
    this.#addresses ??= [...new Set([...this.#held.values()].flat())].sort();
    return this.#addresses;
  }
}
