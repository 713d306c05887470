// SPDX-License-Identifier: Apache-2.0

/**
 * What the lists of one mitigator should hold. Changes are written in place: a prefix that goes is no longer refused, one
 * that comes is. The word `lists`, which says where to look at all, is written last: rows that are not looked at yet do no
 * harm, and neither does a look at rows that are gone.
 */
import type { DDoSMitigator } from '../../api/generated/types.ts';
import { ArrayRows } from '../array-rows.ts';
import { addressBytes } from '../codec/address.ts';
import { eachPrefix, PREFIX_SIZE, prefixText, putPrefix } from '../codec/prefix.ts';
import type { CubeImage, DecidedPacket, ImageChange, Problem } from '../cube-type.ts';
import { PrefixSet } from './prefix-set.ts';
import { ALLOW, DENY } from './said.ts';
import { bucketsFor, V4Buckets } from './v4-buckets.ts';

/** Bits of `lists` (HAS_* of bpf/ddos-mitigator/ddos-mitigator.h). */
export const Has = {
  sourceHosts: 1 << 0,
  sourcePrefixesV4: 1 << 1,
  sourcePrefixesV6: 1 << 2,
  destinationHosts: 1 << 3,
  destinationPrefixesV4: 1 << 4,
  destinationPrefixesV6: 1 << 5,
} as const;

export type ListName = 'DenySource' | 'DenyDestination' | 'AllowSource';

/** A row of a Prefix table: a prefix, or a whole file of them, whose text is missing where no file can be read. */
export type PrefixRow =
  | { readonly cidr: string; readonly list?: ListName }
  | { readonly file: string; readonly list: ListName; readonly text?: string };

/** Rows that one table or the spec contributed: codes of the two sets. */
interface Contribution {
  readonly sources: Float64Array;
  readonly destinations: Float64Array;
}

const SPEC = '';

export class MitigatorImage implements CubeImage {
  readonly #spec: DDoSMitigator;
  readonly #buckets: V4Buckets;
  readonly #sources: PrefixSet;
  readonly #destinations: PrefixSet;
  readonly #lists = new ArrayRows('lists', 1, 4);
  readonly #contributions = new Map<string, Contribution>();
  readonly #key = new Uint8Array(PREFIX_SIZE);

  constructor(spec: DDoSMitigator) {
    const { sizes } = spec;
    this.#spec = spec;
    this.#buckets = new V4Buckets('source_v4', bucketsFor(sizes.maxSourceHosts));
    this.#sources = new PrefixSet(
      {
        hosts: 'source_hosts',
        prefixes: 'source_prefixes',
        maxHosts: sizes.maxSourceHosts,
        maxPrefixes: sizes.maxSourcePrefixes,
      },
      this.#buckets,
    );
    this.#destinations = new PrefixSet({
      hosts: 'destination_hosts',
      prefixes: 'destination_prefixes',
      maxHosts: sizes.maxDestinationHosts,
      maxPrefixes: sizes.maxDestinationPrefixes,
    });
  }

  adopt(map: string, count: number, keys: Uint8Array, values: Uint8Array): void {
    for (const set of [this.#sources, this.#destinations]) {
      if (map === set.hosts.map) set.hosts.adopt(count, keys, values);
      if (map === set.prefixes.map) set.prefixes.adopt(count, keys, values);
    }
    if (map === 'source_v4') this.#buckets.adopt(count, keys, values);
    if (map === 'lists') this.#lists.adopt(count, keys, values);
  }

  setTable(key: string, rows: readonly unknown[] | undefined): readonly Problem[] {
    this.#setSpec();
    return this.#set(key, rows as readonly PrefixRow[] | undefined);
  }

  /** First of all, so that what stands in the cube itself has room. */
  #setSpec(): void {
    if (this.#contributions.has(SPEC)) return;
    const { denySources, denyDestinations, allowSources } = this.#spec;
    const rows = (list: ListName, cidrs: readonly string[]) => cidrs.map((cidr) => ({ cidr, list }));
    this.#set(SPEC, [
      ...rows('AllowSource', allowSources),
      ...rows('DenySource', denySources),
      ...rows('DenyDestination', denyDestinations),
    ]);
  }

  #set(key: string, rows: readonly PrefixRow[] | undefined): readonly Problem[] {
    const before = this.#contributions.get(key);
    for (const code of before?.sources ?? []) this.#sources.remove(code);
    for (const code of before?.destinations ?? []) this.#destinations.remove(code);
    this.#contributions.delete(key);
    if (rows === undefined) return [];

    const problems: Problem[] = [];
    const codes = { sources: [] as number[], destinations: [] as number[] };
    let refused = 0;
    const add = (cidr: string, list: ListName, field: string, where: string): void => {
      const wrong = putPrefix(cidr, this.#key);
      if (wrong !== undefined) {
        problems.push({ reason: 'InvalidCIDR', field, message: `${where}${wrong}` });
        return;
      }
      const isDestination = list === 'DenyDestination';
      const set = isDestination ? this.#destinations : this.#sources;
      const code = set.add(this.#key, list === 'AllowSource' ? ALLOW : DENY, cidr.includes(':'));
      if (code < 0) refused++;
      else (isDestination ? codes.destinations : codes.sources).push(code);
    };
    rows.forEach((row, index) => {
      if ('cidr' in row) add(row.cidr, row.list ?? 'DenySource', `spec.prefixes[${index}].cidr`, '');
      else if (row.text === undefined) problems.push(noFile(row.file));
      else
        eachPrefix(row.text, (cidr, line) => add(cidr, row.list, 'spec.prefixFile', `${row.file}:${line}: `));
    });
    this.#contributions.set(key, {
      sources: Float64Array.from(codes.sources),
      destinations: Float64Array.from(codes.destinations),
    });
    if (refused > 0) problems.push(this.#full(refused));
    return problems;
  }

  #full(refused: number): Problem {
    const full = Object.entries(this.usage())
      .filter(([, { used, max }]) => used >= max)
      .map(([map, { max }]) => `${FIELDS[map]} is ${max}`);
    return {
      reason: 'MapFull',
      message: `there is no room for ${refused} of its prefixes (${full.join(', ')}); the others are in force. Raise it in spec.ddosMitigator.sizes of the Cube`,
    };
  }

  settle(): void {
    this.#setSpec();
    for (const { hosts, prefixes } of [this.#sources, this.#destinations]) {
      hosts.settle();
      prefixes.settle();
    }
    this.#buckets.settle();
  }

  tick(): undefined {
    return undefined;
  }

  take(): ImageChange {
    this.#setSpec();
    const [from, to] = [this.#sources, this.#destinations];
    const word =
      (from.hosts.size > 0 ? Has.sourceHosts : 0) |
      (from.hasPrefixesV4 ? Has.sourcePrefixesV4 : 0) |
      (from.hasPrefixesV6 ? Has.sourcePrefixesV6 : 0) |
      (to.hosts.size > 0 ? Has.destinationHosts : 0) |
      (to.hasPrefixesV4 ? Has.destinationPrefixesV4 : 0) |
      (to.hasPrefixesV6 ? Has.destinationPrefixesV6 : 0);
    this.#lists.set(0, Uint8Array.of(word, 0, 0, 0));
    return { writes: [...from.take(), ...to.take(), ...this.#lists.take()], afterGrace: [] };
  }

  usage(): Readonly<Record<string, { readonly used: number; readonly max: number }>> {
    return Object.fromEntries(
      [this.#sources, this.#destinations]
        .flatMap(({ hosts, prefixes }) => [hosts, prefixes])
        .map(({ map, size, max }) => [map, { used: size, max }]),
    );
  }

  nameObject(kind: string, _id: bigint, packet: DecidedPacket): string | undefined {
    const isSource = kind === 'source';
    const set = isSource ? this.#sources : this.#destinations;
    const found = set.match(addressBytes(isSource ? packet.src : packet.dst));
    if (found === undefined) return undefined;
    const owners = [...this.#contributions]
      .filter(([, codes]) => codes[isSource ? 'sources' : 'destinations'].some((code) => found.isOf(code)))
      .map(([key]) => (key === SPEC ? 'the spec' : `CubeTable ${key}`));
    return `${prefixText(found.key)} of ${owners.join(' and ')}`;
  }
}

/** Where the size of a map is set. */
const FIELDS: Readonly<Record<string, string>> = {
  source_hosts: 'maxSourceHosts',
  source_prefixes: 'maxSourcePrefixes',
  destination_hosts: 'maxDestinationHosts',
  destination_prefixes: 'maxDestinationPrefixes',
};

function noFile(file: string): Problem {
  return {
    reason: 'NotSupported',
    field: 'spec.prefixFile',
    message: `the file ${file} cannot be read from here: only an agent on a directory of manifests reads prefix files; write the prefixes into tables of at most 1,000`,
  };
}
