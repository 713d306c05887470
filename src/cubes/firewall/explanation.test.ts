// SPDX-License-Identifier: Apache-2.0
/** Identity of a rule in the kernel → what it is to people and programs. */
import { expect, test } from '@jest/globals';
import type { Firewall, FirewallRule, Identity, Policy } from '../../api/generated/types.ts';
import { validate } from '../../api/validate.ts';
import type { DecidedPacket } from '../cube-type.ts';
import { rules as rulesMap } from './generated/codec.ts';
import { FirewallImage } from './image.ts';

const RULE: FirewallRule = { action: 'Reject', priority: 1000, direction: 'Ingress', log: false };
const PODS: Identity[] = [
  { id: 1, namespace: 'shop', labels: { app: 'web' }, addresses: ['10.244.1.5', 'fd00:1::5'] },
  { id: 2, namespace: 'shop', labels: { app: 'db' }, addresses: ['10.244.1.6', 'fd00:1::6'] },
];
const POLICIES: Policy[] = [
  { namespace: 'shop', name: 'deny', types: ['Ingress', 'Egress'] },
  { namespace: 'shop', name: 'web', podSelector: { matchLabels: { app: 'web' } }, ingress: [{ peers: [] }] },
  {
    name: 'no-db',
    tier: 'Admin',
    priority: 5,
    namespaceSelector: {},
    egress: [{ name: 'databases', action: 'Deny', ports: [{ protocol: 'TCP', port: 5432 }] }],
  },
];

function imageOf(rules: readonly FirewallRule[], more: object = {}): FirewallImage {
  const checked = validate({
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'Cube',
    metadata: { name: 'fw', namespace: 'n' },
    spec: { nodeName: 'a', type: 'Firewall', firewall: { rules, ...more } },
  });
  if (!checked.ok) throw new Error(checked.message);
  const { firewall: spec } = checked.object.spec as unknown as { firewall: Firewall };
  return new FirewallImage(
    { namespace: 'n', name: 'fw', uid: 'u', ports: [], spec },
    { addresses: ['172.18.0.2'] },
  );
}

/** Identities of all rules that are written to the kernel, without those that are there twice. */
function identities(image: FirewallImage): bigint[] {
  const rows = image.take().writes.filter(({ map }) => map === rulesMap.name);
  const ids = rows.flatMap(({ values, count }) =>
    Array.from({ length: count }, (_, i) => Buffer.from(values).readBigUInt64LE((i * values.length) / count)),
  );
  return [...new Set(ids)];
}

const packet = (src: string, dst: string): DecidedPacket => ({ src, dst, sport: 1, dport: 2, proto: 6 });

test('each rule says where it was written', () => {
  const image = imageOf([{ ...RULE, name: 'no-telnet' }]);
  image.setTable('n/more', [{ ...RULE, action: 'Drop', direction: 'Both' }]);
  image.setTable('n/policies', POLICIES, undefined, 'Policy');
  image.setTable('n/pods', PODS, undefined, 'Identity');
  image.settle();
  const found = identities(image).map((id) => image.explain(id));
  expect(found.map((one) => one && { action: one.action, ...one.origin })).toEqual(
    expect.arrayContaining([
      { action: 'Reject', kind: 'Rule', name: 'no-telnet', direction: 'Ingress', rule: '0' },
      { action: 'Drop', kind: 'Rule', rule: '0', table: 'n/more' },
      { action: 'Allow', kind: 'Node', direction: 'Ingress' },
      {
        action: 'Allow',
        kind: 'NetworkPolicy',
        namespace: 'shop',
        name: 'web',
        direction: 'Ingress',
        rule: '0',
      },
      {
        action: 'Drop',
        kind: 'ClusterNetworkPolicy',
        name: 'no-db',
        tier: 'Admin',
        direction: 'Egress',
        rule: 'databases',
      },
      ...(['Ingress', 'Egress'] as const).map((direction) => ({
        action: 'Drop',
        kind: 'NetworkPolicy',
        namespace: 'shop',
        name: 'deny',
        direction,
        defaultDenyOf: ['shop/deny'],
      })),
    ]),
  );
  expect(found.map((one) => one?.text)).toContain(
    'ClusterNetworkPolicy no-db (Admin), egress rule databases',
  );
  expect(image.explain(0n)).toBeUndefined();
  expect(image.explain(12345n)).toBeUndefined();
});

test.each([
  ['10.244.1.5', '10.244.1.6'],
  ['fd00:1::5', 'fd00:1::6'],
])('a default deny names all policies that isolate the pod of the packet: %s', (web, db) => {
  const image = imageOf([]);
  image.setTable('n/policies', [...POLICIES, POLICIES[1] as Policy], undefined, 'Policy');
  image.setTable('n/pods', PODS, undefined, 'Identity');
  image.settle();
  const deny = identities(image).filter((id) => image.explain(id)?.origin.name === 'deny');
  const [ingress] = deny.filter((id) => image.explain(id)?.origin.direction === 'Ingress');
  const [egress] = deny.filter((id) => image.explain(id)?.origin.direction === 'Egress');
  const text = (id: bigint | undefined, of?: DecidedPacket) => image.explain(id ?? 0n, of)?.text;
  expect(text(ingress)).toBe('default deny of NetworkPolicy shop/deny');
  expect(text(ingress, packet(db, web))).toBe('default deny of NetworkPolicy shop/deny, shop/web');
  expect(text(ingress, packet(web, db))).toBe('default deny of NetworkPolicy shop/deny');
  expect(text(egress, packet(web, db))).toBe('default deny of NetworkPolicy shop/deny');
});

test.each([
  ['Enforce', 'Drop'],
  ['Audit', 'Audit'],
])('policies that do not fit are named as the cause, policyMode %s', (policyMode, action) => {
  const image = imageOf([], { policyMode });
  const many = Array.from({ length: 600 }, (_, i) => ({ namespace: 'shop', name: `p${i}` }));
  image.setTable('n/policies', many, undefined, 'Policy');
  image.setTable('n/pods', PODS, undefined, 'Identity');
  image.settle();
  const found = identities(image).map((id) => image.explain(id));
  expect(found.map((one) => [one?.origin.kind, one?.action])).toEqual([
    ['Node', 'Allow'],
    ['Closed', action],
    ['Node', 'Allow'],
  ]);
});

test('pods in audit mode have rules of their own, which drop nothing', () => {
  const [deny, web, noDatabases] = POLICIES as [Policy, Policy, Policy];
  const rulesOf = (pods: Identity[], more = {}) => {
    const image = imageOf([], more);
    image.setTable('n/policies', [deny, web, { ...noDatabases, tier: 'Baseline' }], undefined, 'Policy');
    image.setTable('n/pods', pods, undefined, 'Identity');
    image.settle();
    const found = identities(image).map((id) => image.explain(id));
    const refusing = found.filter((one) => one?.action === 'Drop' || one?.action === 'Audit');
    return {
      refusing: refusing.map((one) => `${one?.action} ${one?.origin.name}`).sort(),
      audit: image.audit(),
    };
  };
  const [first, second] = PODS as [Identity, Identity];
  const other = { ...second, namespace: 'other' };
  const both = [{ ...first, audit: true }, second];
  // a rule each direction, or one with a name
  expect(rulesOf(both).refusing).toEqual([
    ...['Audit deny', 'Audit deny', 'Audit no-db'],
    ...['Audit web', 'Drop deny', 'Drop deny', 'Drop no-db'],
  ]);
  expect(rulesOf(both).audit).toContain('namespaces shop, which have');
  expect(rulesOf([first, { ...other, audit: true }]).audit).toContain('namespaces other, which have');
  expect(rulesOf(PODS)).toEqual({
    refusing: ['Drop deny', 'Drop deny', 'Drop no-db', 'Drop web'],
    audit: undefined,
  });
  expect(rulesOf(PODS, { policyMode: 'Audit' })).toEqual({
    refusing: ['Audit deny', 'Audit deny', 'Audit no-db', 'Audit web'],
    audit: 'no network policy is enforced, since spec.firewall.policyMode is Audit',
  });
});
