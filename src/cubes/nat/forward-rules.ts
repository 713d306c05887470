// SPDX-License-Identifier: Apache-2.0
/** Forward rules: which packets they take, and where these go. */
import type { Nat } from '../../api/generated/types.ts';
import { contains, formatAddress, type Prefix, parseAddress, parsePrefix } from '../../api/ip.ts';
import type { Problem } from '../cube-type.ts';
import { FAMILIES, PROTOCOLS, problem } from './common.ts';
import type { ForwardRule } from './generated/codec.ts';
import { Field, type MatchTable, OWN_RULE, prefixesOf } from './match-table.ts';
import { isNoHost, type OutsideAddress } from './outside.ts';

type Rule = Nat['forwardRules'][number];

/** Ports of the rule that sessions might claim at an outside address. */
function overlap(rule: Rule, range: Nat['portRange']): string | undefined {
  if (rule.port === undefined || rule.protocol === 'SCTP') return undefined;
  const first = Math.max(rule.port, range.first);
  const last = Math.min(rule.endPort ?? rule.port, range.last);
  if (first > last) return undefined;
  return first === last ? `port ${first}` : `ports ${first} to ${last}`;
}

export function compileForwardRules(
  { forwardRules, portRange }: Pick<Nat, 'forwardRules' | 'portRange'>,
  outside: readonly OutsideAddress[],
  table: MatchTable,
  problems: Problem[],
): { rules: ForwardRule[]; usesSources: boolean; usesServices: boolean } {
  const usesSources = forwardRules.some(({ sources }) => sources.length > 0);
  const usesServices = forwardRules.some(({ protocol }) => protocol !== undefined);

  for (const { prefix } of outside) table.addPrefix(Field.ForwardDestination, prefix, OWN_RULE);
  for (const family of usesSources ? FAMILIES : []) table.addFamily(Field.ForwardSource, family, OWN_RULE);
  if (usesServices) table.addAnyService(Field.ForwardService, OWN_RULE);

  const rules = forwardRules.map((rule, i): ForwardRule => {
    const field = `spec.nat.forwardRules[${i}]`;
    const target = parseAddress(rule.target.address);
    if (!target || isNoHost(target) || outside.some(({ text }) => text === formatAddress(target))) {
      problems.push(
        problem(
          'InvalidTarget',
          `${field}.target.address`,
          `${rule.target.address} is no address of a server on the inside; give one, of a host and none of the port outside`,
        ),
      );
    }
    const family = target?.family ?? 4;
    const named = rule.destination === undefined ? undefined : parsePrefix(rule.destination);
    const destinations: Prefix[] = named
      ? [named]
      : outside.map(({ prefix }) => prefix).filter((prefix) => prefix.family === family);
    if (destinations.length === 0) {
      problems.push(
        problem(
          'NoOutsideAddress',
          field,
          `the rule is for the addresses of the port outside, which has none of IPv${family}; add one, or name a destination`,
        ),
      );
    }
    const taken = overlap(rule, portRange);
    if (taken && outside.some(({ prefix }) => destinations.some((one) => contains(one, prefix)))) {
      problems.push(
        problem(
          'PortsOverlap',
          `${field}.port`,
          `${taken} of an outside address lie in portRange (${portRange.first} to ${portRange.last}), whose ports sessions claim; choose other ports, or another portRange`,
        ),
      );
    }
    for (const prefix of destinations) table.addPrefix(Field.ForwardDestination, prefix, i);

    const sources = prefixesOf(rule.sources);
    if (sources.some((prefix) => prefix.family !== family)) {
      problems.push(
        problem(
          'RuleTakesNothing',
          `${field}.sources`,
          `the target is an IPv${family} address, but a source is of the other family; remove it`,
        ),
      );
    }
    for (const prefix of sources) table.addPrefix(Field.ForwardSource, prefix, i);
    if (usesSources && sources.length === 0) table.addFamily(Field.ForwardSource, family, i);

    const first = rule.port ?? 0;
    if (rule.protocol === undefined) {
      if (usesServices) table.addAnyService(Field.ForwardService, i);
    } else {
      const ports = rule.port === undefined ? undefined : { first, last: rule.endPort ?? first };
      for (const protocol of PROTOCOLS[rule.protocol])
        table.addService(Field.ForwardService, protocol, i, ports);
    }
    return {
      target: target ? formatAddress(target) : '::',
      first,
      port: rule.target.port ?? first,
      changesPort: rule.target.port === undefined ? 0 : 1,
    };
  });
  return { rules, usesSources, usesServices };
}
