// SPDX-License-Identifier: Apache-2.0
import { prefixName, type RouteRow } from './route-row.ts';

/** Where a route comes from: connected and static ones come before those of tables. */
interface Candidate {
  /** {@link SPEC}, {@link HOST}, `namespace/name` of the table, or {@link derivedFrom} the route for another prefix. */
  readonly source: string;
  readonly row: RouteRow;
}

export const SPEC = '';
/** The addresses of the host; after the spec and before all tables. */
export const HOST = ' ';
/** What follows from routes of all others and nobody has written; no name of a table is greater. */
const DERIVED = '~';

/** The source of what follows from the route for a prefix. */
export const derivedFrom = (prefix: string): string => `${DERIVED}${prefix}`;

export const isDerived = (source: string | undefined): boolean => source?.startsWith(DERIVED) === true;

/**
 * All routes of all sources, and which of them is in force for each prefix: the spec's, the host's own, then those of tables; among tables
 * the one whose `namespace/name` is smaller, whatever came first, so that all nodes agree. Derived ones come last.
 */
export class RouteSet {
  readonly #candidates = new Map<string, Candidate[]>();
  readonly #bySource = new Map<string, Set<string>>();
  #derived = 0;

  /** Prefixes that somebody has written a route for. */
  get size(): number {
    return this.#candidates.size - this.derived;
  }

  /** Prefixes whose route in force is derived. */
  get derived(): number {
    return this.#derived;
  }

  has(prefix: string): boolean {
    return this.#candidates.has(prefix);
  }

  /** Whether somebody has written a route for it. */
  isWritten(prefix: string): boolean {
    return this.has(prefix) && !isDerived(this.sourceOf(prefix));
  }

  /** The route in force for a prefix. */
  winner(prefix: string): RouteRow | undefined {
    return this.#candidates.get(prefix)?.[0]?.row;
  }

  /** Where the route in force for a prefix comes from. */
  sourceOf(prefix: string): string | undefined {
    return this.#candidates.get(prefix)?.[0]?.source;
  }

  prefixes(): Iterable<string> {
    return this.#candidates.keys();
  }

  prefixesOf(source: string): ReadonlySet<string> {
    return this.#bySource.get(source) ?? new Set();
  }

  /** Adds or replaces a source's route for a prefix. Returns the source whose differing route shares the prefix. */
  add(source: string, row: RouteRow): string | undefined {
    const prefix = prefixName(row);
    const before = this.sourceOf(prefix);
    const list = (this.#candidates.get(prefix) ?? []).filter((candidate) => candidate.source !== source);
    const other = list.find((candidate) => !sameRoute(candidate.row, row));
    list.push({ source, row });
    list.sort((a, b) => (a.source < b.source ? -1 : 1));
    this.#candidates.set(prefix, list);
    this.#count(before, prefix);
    const prefixes = this.#bySource.get(source);
    if (prefixes) prefixes.add(prefix);
    else this.#bySource.set(source, new Set([prefix]));
    return other?.source;
  }

  remove(source: string, prefix: string): void {
    const before = this.sourceOf(prefix);
    const prefixes = this.#bySource.get(source);
    prefixes?.delete(prefix);
    if (prefixes?.size === 0) this.#bySource.delete(source);
    const rest = (this.#candidates.get(prefix) ?? []).filter((candidate) => candidate.source !== source);
    if (rest.length > 0) this.#candidates.set(prefix, rest);
    else this.#candidates.delete(prefix);
    this.#count(before, prefix);
  }

  /** Derived routes in force, when that for the prefix was of `before`. */
  #count(before: string | undefined, prefix: string): void {
    this.#derived += Number(isDerived(this.sourceOf(prefix))) - Number(isDerived(before));
  }
}

export function sameRoute(a: RouteRow, b: RouteRow): boolean {
  return (
    a.kind === b.kind &&
    a.flags === b.flags &&
    a.port === b.port &&
    a.mtu === b.mtu &&
    a.vni === b.vni &&
    a.gateway === b.gateway
  );
}
