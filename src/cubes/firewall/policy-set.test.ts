// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type Asked,
  packets,
  reference,
  type Verdict,
  type World,
  worlds,
} from '../../../test/fixtures/policy-reference.ts';
import type { Identity, Policy } from '../../api/generated/types.ts';
import { contains, parseAddress } from '../../api/ip.ts';
import { PolicySet } from './policy-set.ts';
import { Action, type RuleMeaning, type RulePrefix, Table, TIERS } from './rule-meaning.ts';

function setOf({ policies, identities, node }: World): PolicySet {
  const set = new PolicySet();
  set.setNode(node);
  set.setPolicies('n/policies', policies);
  set.setIdentities('n/identities', identities);
  return set;
}

function isOn(side: readonly RulePrefix[], text: string): boolean {
  if (side.length === 0) return true;
  const address = parseAddress(text);
  if (address === undefined) throw new Error(text);
  const around = side.filter((prefix) => contains(prefix, address));
  const length = Math.max(...around.map((prefix) => prefix.length));
  return around.some((prefix) => prefix.length === length && !prefix.isHole);
}

/** What the first rule that matches says; one that passes a tier on leaves the rules behind it. */
function judge(rules: readonly RuleMeaning[], { direction, src, dst, proto, dport }: Asked): Verdict {
  const table = { 6: Table.TCP, 17: Table.UDP, 132: Table.SCTP }[proto];
  let left = rules.filter(
    (rule) =>
      (direction === 'Ingress' ? rule.ingress : rule.egress) &&
      isOn(rule.sources, src) &&
      isOn(rule.destinations, dst) &&
      (rule.services === undefined ||
        rule.services.some((range) => range.table === table && range.from <= dport && dport <= range.to)),
  );
  for (;;) {
    const [first] = left;
    if (first === undefined) return 'not isolated';
    if (first.action >= Action.PassAdmin) {
      left = left.filter(({ tier = 'Admin' }) => TIERS.indexOf(tier) > TIERS.indexOf(first.tier ?? 'Admin'));
      continue;
    }
    if (first.title.startsWith('the node itself')) return 'node';
    if (first.tier !== 'NetworkPolicy') return first.action === Action.Allow ? 'accepted' : 'denied';
    return first.action === Action.Allow ? 'allowed' : 'isolated';
  }
}

test('rules say of 20,000 random packets what the policies say', () => {
  const seen = new Map<Verdict, number>();
  fc.assert(
    fc.property(worlds, fc.array(packets, { minLength: 100, maxLength: 100 }), (world, list) => {
      const rules = setOf(world).rules();
      for (const packet of list) {
        const verdict = judge(rules, packet);
        const said = reference(world, packet);
        seen.set(said, (seen.get(said) ?? 0) + 1);
        // the node is allowed by a rule of its own also where nothing isolates
        const isSame = verdict === said || (verdict === 'node' && said === 'not isolated');
        if (!isSame) expect({ packet, verdict }).toEqual({ packet, verdict: said });
      }
    }),
    { numRuns: 200, endOnFailure: true },
  );
  for (const verdict of ['node', 'allowed', 'isolated', 'not isolated', 'accepted', 'denied'] as const)
    expect(seen.get(verdict) ?? 0).toBeGreaterThan(20);
});

test('after any changes of tables the rules are those of a set that never had others', () => {
  const step = fc.record({
    world: worlds,
    table: fc.constantFrom('one', 'two'),
    what: fc.constantFrom('policies', 'identities', 'no policies', 'no identities', 'look'),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
      const changed = new PolicySet();
      const policies = new Map<string, readonly Policy[]>();
      const identities = new Map<string, readonly Identity[]>();
      for (const { world, table, what } of steps) {
        if (what === 'policies') policies.set(table, world.policies);
        if (what === 'no policies') policies.delete(table);
        if (what === 'identities') identities.set(table, world.identities);
        if (what === 'no identities') identities.delete(table);
        if (what === 'look') changed.rules();
        if (what.endsWith('policies')) changed.setPolicies(table, policies.get(table));
        if (what.endsWith('identities')) changed.setIdentities(table, identities.get(table));
      }
      const fresh = new PolicySet();
      for (const [table, rows] of identities) fresh.setIdentities(table, rows);
      for (const [table, rows] of policies) fresh.setPolicies(table, rows);
      const said = (set: PolicySet) => set.rules().map((rule) => rule.said);
      // policies of one name, which only these worlds have, may change places
      expect(said(changed).sort()).toEqual(said(fresh).sort());
    }),
    { numRuns: 300 },
  );
});
