// SPDX-License-Identifier: Apache-2.0

/**
 * What the spec of a NAT means: pure, and the only place that decides it. Rows are plain objects as the generated codecs
 * take them; bpf/nat/nat.h says what the program does with them.
 */
import type { Nat } from '../../api/generated/types.ts';
import { hostPrefix, parseAddress } from '../../api/ip.ts';
import type { CubeInput, Problem } from '../cube-type.ts';
import { compileForwardRules } from './forward-rules.ts';
import type { ForwardRule, NatOptions, SourceRule } from './generated/codec.ts';
import { Field, type MatchRow, MatchTable, OWN_RULE, prefixesOf } from './match-table.ts';
import { outsideAddresses } from './outside.ts';
import { compileSourceRules } from './source-rules.ts';

/** Of bpf/nat/nat.h. */
const DISCRIMINATES_PLAIN = 2;

export interface Desired {
  readonly matches: readonly MatchRow[];
  readonly sourceRules: readonly SourceRule[];
  readonly forwardRules: readonly ForwardRule[];
  readonly pool: readonly string[];
  readonly options: NatOptions;
  readonly problems: readonly Problem[];
}

/** @param announced addresses that tables give to the cube beside its own. They have no part in the options. */
export function desired(
  { spec, ports }: Pick<CubeInput<Nat>, 'spec' | 'ports'>,
  announced: readonly string[] = [],
): Desired {
  const problems: Problem[] = [];
  const outside = outsideAddresses(ports, problems);
  const table = new MatchTable();
  // the host knows its other addresses, and has reserved the ports at all of them
  const isRouted =
    spec.role === 'Discriminator' &&
    ports.some(({ name, isSeveral }) => name === 'outside' && isSeveral === true);
  const source = compileSourceRules(spec.sourceRules, outside, table, problems, isRouted);
  const forward = compileForwardRules(spec, outside, table, problems);

  for (const address of announced.map(parseAddress).filter((one) => one !== undefined))
    table.addPrefix(Field.ForwardDestination, hostPrefix(address), OWN_RULE);
  const exclusions = prefixesOf(spec.exclusions);
  for (const prefix of exclusions) table.addPrefix(Field.Exclusion, prefix, 0);
  const discriminates = spec.role === 'Discriminator';
  if (discriminates) {
    for (const prefix of prefixesOf(spec.sourceRules.flatMap(({ sources }) => sources)))
      table.addPrefix(Field.Inside, prefix, 0);
  }
  const own = exclusions.length > 0 ? outside.map(({ prefix }) => prefix) : [];

  const { first, last } = spec.portRange;
  const flag = (is: boolean) => (is ? 1 : 0);
  return {
    matches: table.rows({ field: Field.Exclusion, prefixes: own }),
    sourceRules: source.rules,
    forwardRules: forward.rules,
    pool: source.pool,
    options: {
      firstPort: first,
      portCount: last - first + 1,
      forwards: flag(discriminates || outside.length + forward.rules.length > 0),
      forwardSources: flag(forward.usesSources),
      forwardServices: flag(forward.usesServices),
      sources: flag(source.rules.length > 0),
      destinations: flag(source.usesDestinations),
      protocols: flag(source.usesProtocols),
      exclusions: flag(exclusions.length > 0),
      discriminates: discriminates ? (forward.rules.length === 0 ? DISCRIMINATES_PLAIN : 1) : 0,
    },
    problems,
  };
}
