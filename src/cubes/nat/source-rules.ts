// SPDX-License-Identifier: Apache-2.0
/** Source rules: which packets they take, and the pool that their sources come from. */
import type { Nat } from '../../api/generated/types.ts';
import { type Family, formatAddress, formatPrefix, parseAddress } from '../../api/ip.ts';
import type { Problem } from '../cube-type.ts';
import { FAMILIES, PROTOCOLS, problem } from './common.ts';
import type { SourceRule } from './generated/codec.ts';
import { Field, type MatchTable, prefixesOf } from './match-table.ts';
import type { OutsideAddress } from './outside.ts';

/** SOURCE_* of bpf/nat/nat.h. */
const EXCLUDE = 0;
const POOL = 1;
const ROUTED = 2;

type Rule = Nat['sourceRules'][number];

/** The addresses that a rule may give, in the order in which the pool has them. */
function addressesOf(
  rule: Rule,
  outside: readonly OutsideAddress[],
  field: string,
  problems: Problem[],
): readonly OutsideAddress[] {
  if (rule.type !== 'SNAT') return outside;
  return rule.snat.addresses.flatMap((text, i) => {
    const parsed = parseAddress(text);
    const found = parsed && outside.find((one) => one.text === formatAddress(parsed));
    if (found) return [found];
    const known = outside.map((one) => one.text).join(', ') || 'none';
    problems.push(
      problem(
        'UnknownAddress',
        `${field}.snat.addresses[${i}]`,
        `${text} is no address of the port outside, which has ${known}; add it to spec.ports[outside].addresses or choose one of these`,
      ),
    );
    return [];
  });
}

/** @param isRouted whether the port outside leads to several interfaces, so that who masquerades has the address of one of them. */
export function compileSourceRules(
  rules: Nat['sourceRules'],
  outside: readonly OutsideAddress[],
  table: MatchTable,
  problems: Problem[],
  isRouted = false,
): { rules: SourceRule[]; pool: string[]; usesDestinations: boolean; usesProtocols: boolean } {
  const pool: string[] = [];
  const places = new Map<string, number>();
  const usesDestinations = rules.some(({ destinations }) => destinations.length > 0);
  const usesProtocols = rules.some(({ protocol }) => protocol !== undefined);

  const place = (addresses: readonly string[]): number => {
    const key = addresses.join();
    const known = places.get(key) ?? pool.push(...addresses) - addresses.length;
    places.set(key, known);
    return known;
  };

  const rows = rules.map((rule, i): SourceRule => {
    const field = `spec.nat.sourceRules[${i}]`;
    const before = problems.length;
    const addresses = addressesOf(rule, outside, field, problems);
    const byFamily = FAMILIES.map((family) =>
      addresses.filter(({ prefix }) => prefix.family === family).map(({ text }) => text),
    );
    const has = (family: Family) =>
      rule.type === 'Exclude' || (byFamily[FAMILIES.indexOf(family)] ?? []).length > 0;
    const sources = prefixesOf(rule.sources);
    const destinations = prefixesOf(rule.destinations);
    const takes = (family: Family) =>
      has(family) &&
      (sources.length === 0 || sources.some((one) => one.family === family)) &&
      (destinations.length === 0 || destinations.some((one) => one.family === family));

    for (const prefix of problems.length > before ? [] : [...sources, ...destinations]) {
      if (has(prefix.family)) continue;
      problems.push(
        problem(
          'NoOutsideAddress',
          field,
          `the rule is for ${formatPrefix(prefix)}, but ${rule.type === 'SNAT' ? 'it has' : 'the port outside has'} no IPv${prefix.family} address; add one, or remove the prefix`,
        ),
      );
    }
    if (problems.length === before && !FAMILIES.some(takes)) {
      problems.push(
        outside.length === 0
          ? problem(
              'NoOutsideAddress',
              field,
              'the port outside has no address to translate to; add one to spec.ports[outside].addresses',
            )
          : problem(
              'RuleTakesNothing',
              field,
              'its sources and destinations are of different IP families, so that no packet has both; correct one of them',
            ),
      );
    }
    for (const family of FAMILIES.filter(takes)) {
      if (sources.length === 0) table.addFamily(Field.Source, family, i);
      if (destinations.length === 0 && usesDestinations) table.addFamily(Field.Destination, family, i);
    }
    for (const prefix of sources) if (takes(prefix.family)) table.addPrefix(Field.Source, prefix, i);
    for (const prefix of destinations)
      if (takes(prefix.family)) table.addPrefix(Field.Destination, prefix, i);
    if (rule.protocol === undefined) {
      if (usesProtocols) table.addAnyService(Field.Protocol, i);
    } else {
      for (const protocol of PROTOCOLS[rule.protocol]) table.addService(Field.Protocol, protocol, i);
    }
    if (rule.type === 'Exclude') return { type: EXCLUDE, base: [0, 0], count: [0, 0] };
    return {
      type: isRouted && rule.type === 'Masquerade' ? ROUTED : POOL,
      base: byFamily.map((list) => (list.length === 0 ? 0 : place(list))),
      count: byFamily.map((list) => list.length),
    };
  });
  return { rules: rows, pool, usesDestinations, usesProtocols };
}
