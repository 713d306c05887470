// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import type { CubeTable, Policy, PolicyEntry } from '../api/generated/types.ts';
import { validate } from '../api/validate.ts';
import { tablesOfClusterNetworkPolicy } from './cluster-network-policy.ts';
import type { ClusterNetworkPolicyInput } from './inputs.ts';

const OPTIONS = { namespace: 'cubeplane-system' };
const rowsOf = (tables: readonly CubeTable[]): Policy[] =>
  tables.flatMap(({ spec }) => (spec.type === 'Policy' ? spec.policies : []));

function translate(spec: object): { rows: Policy[]; said: string[] } {
  const policy = { metadata: { name: 'p', uid: 'u-1' }, spec } as ClusterNetworkPolicyInput;
  const { tables, diagnostics } = tablesOfClusterNetworkPolicy(policy, OPTIONS);
  for (const table of tables) expect(validate(table)).toMatchObject({ ok: true });
  return {
    rows: rowsOf(tables),
    said: diagnostics.map(({ reason, field, message }) => `${reason} ${field}: ${message}`),
  };
}

/** Members of a policy at all depths, and one that every object has. */
const MEMBERS = [
  ...[
    'action',
    'name',
    'from',
    'to',
    'protocols',
    'namespaces',
    'pods',
    'networks',
    'nodes',
    'namespaceSelector',
  ],
  ...['podSelector', 'matchLabels', 'matchExpressions', 'key', 'operator', 'values', 'tcp', 'udp', 'sctp'],
  ...['destinationPort', 'destinationNamedPort', 'number', 'range', 'start', 'end', 'toString'],
];

const ALL = { namespaces: {} };
const withRule = (direction: 'ingress' | 'egress', rule: object) =>
  translate({ tier: 'Admin', priority: 10, subject: ALL, [direction]: [rule] });
const entries = (direction: 'ingress' | 'egress', rule: object): PolicyEntry[] =>
  withRule(direction, rule).rows.flatMap((row) => row[direction] ?? []);

describe('a policy', () => {
  it('is a row with tier, priority and subject', () => {
    const { rows, said } = translate({
      tier: 'Baseline',
      priority: 7,
      subject: {
        pods: {
          namespaceSelector: { matchLabels: { env: 'prod' } },
          podSelector: { matchLabels: { app: 'web' } },
        },
      },
      ingress: [
        { name: 'no-tests', action: 'Deny', from: [{ namespaces: { matchLabels: { env: 'test' } } }] },
      ],
    });
    expect(said).toEqual([]);
    expect(rows).toEqual([
      {
        name: 'p',
        uid: 'u-1',
        tier: 'Baseline',
        priority: 7,
        position: 0,
        namespaceSelector: { matchLabels: { env: 'prod' } },
        podSelector: { matchLabels: { app: 'web' } },
        ingress: [
          {
            name: 'no-tests',
            action: 'Deny',
            peers: [{ namespaceSelector: { matchLabels: { env: 'test' } } }],
            ports: [],
          },
        ],
        egress: [],
      },
    ]);
  });

  it('without rules is no table', () => {
    expect(translate({ tier: 'Admin', priority: 0, subject: ALL }).rows).toEqual([]);
  });

  it('keeps the order of its rules where it is cut, and says which place each row has', () => {
    const networks = Array.from({ length: 25 }, (_, i) => `10.${i}.0.0/16`);
    const to = Array.from({ length: 25 }, () => ({ networks }));
    const rules = Array.from({ length: 25 }, (_, i) => ({
      name: `r${i}`,
      action: i % 2 ? 'Pass' : 'Deny',
      to,
    }));
    const { rows } = translate({ tier: 'Admin', priority: 0, subject: ALL, egress: rules });
    expect(rows.length).toBeGreaterThan(1);
    expect(rows.map(({ position }) => position)).toEqual(rows.map((_, index) => index));
    const names = rows.flatMap(({ egress = [] }) => egress.map(({ name }) => name));
    expect([...new Set(names)]).toEqual(rules.map(({ name }) => name));
    expect(names).toEqual([...names].sort((a, b) => Number(a?.slice(1)) - Number(b?.slice(1))));
  });

  it('of a subject that is not understood only denies, and everybody that might be meant', () => {
    const rules = ['Accept', 'Deny', 'Pass'].map((action) => ({ action, from: [ALL] }));
    const subject = { namespaces: { matchExpressions: [{ key: 'a', operator: 'Near' }] } };
    const { rows, said } = translate({ tier: 'Admin', priority: 0, subject, ingress: rules });
    expect(rows).toMatchObject([{ namespaceSelector: {}, ingress: [{ action: 'Deny', name: '1' }] }]);
    expect(said[0]).toContain('InvalidSelector spec.subject.namespaces.matchExpressions[0]');
  });
});

describe('protocols', () => {
  test.each([
    [{ tcp: { destinationPort: { number: 80 } } }, [{ protocol: 'TCP', port: 80 }]],
    [
      { udp: { destinationPort: { range: { start: 80, end: 90 } } } },
      [{ protocol: 'UDP', port: 80, endPort: 90 }],
    ],
    [{ sctp: { destinationPort: { number: 9 } } }, [{ protocol: 'SCTP', port: 9 }]],
    [
      { destinationNamedPort: 'http' },
      ['TCP', 'UDP', 'SCTP'].map((protocol) => ({ protocol, name: 'http' })),
    ],
  ])('%j', (protocol, ports) => {
    expect(entries('ingress', { action: 'Accept', from: [ALL], protocols: [protocol] })).toMatchObject([
      { ports },
    ]);
  });
});

describe('what is not understood', () => {
  const wrong: [string, 'ingress' | 'egress', object, string][] = [
    ['nodes', 'egress', { to: [{ nodes: {} }] }, 'NotSupported spec.egress[0].to[0].nodes'],
    [
      'domain names',
      'egress',
      { to: [ALL, { domainNames: ['a.example'] }] },
      'NotSupported spec.egress[0].to[1].domainNames',
    ],
    [
      'networks of senders',
      'ingress',
      { from: [{ networks: ['10.0.0.0/8'] }] },
      'NotSupported spec.ingress[0].from[0].networks',
    ],
    [
      'a peer of tomorrow, which is stored as nothing',
      'ingress',
      { from: [{}] },
      'InvalidPeer spec.ingress[0].from[0]',
    ],
    [
      'two kinds in a peer',
      'ingress',
      { from: [{ ...ALL, pods: {} }] },
      'InvalidPeer spec.ingress[0].from[0]',
    ],
    ['no peers', 'ingress', { from: [] }, 'InvalidPeer spec.ingress[0].from'],
    [
      'a bad prefix',
      'egress',
      { to: [{ networks: ['10.0.0.0/8', '10.0.0/33'] }] },
      'InvalidCIDR spec.egress[0].to[0].networks[1]',
    ],
    [
      'a bad selector',
      'ingress',
      { from: [{ namespaces: { matchExpressions: [{ key: 'a', operator: 'Near' }] } }] },
      'InvalidSelector',
    ],
    [
      'a field of tomorrow',
      'ingress',
      { from: [ALL], days: ['Monday'] },
      'NotSupported spec.ingress[0].days',
    ],
    [
      'a protocol of tomorrow',
      'ingress',
      { from: [ALL], protocols: [{ quic: {} }] },
      'NotSupported spec.ingress[0].protocols[0].quic',
    ],
    [
      'no port',
      'ingress',
      { from: [ALL], protocols: [{ tcp: {} }] },
      'InvalidPort spec.ingress[0].protocols[0].tcp',
    ],
    [
      'a range backwards',
      'ingress',
      { from: [ALL], protocols: [{ tcp: { destinationPort: { range: { start: 9, end: 1 } } } }] },
      'InvalidPort',
    ],
  ];
  test.each(wrong)(
    '%s: a rule that accepts matches nothing, the others deny all',
    (_, direction, rule, said) => {
      for (const action of ['Accept', 'Deny', 'Pass']) {
        const made = withRule(direction, { ...rule, action });
        expect(made.said[0]).toContain(said);
        const closed = action === 'Accept' ? [] : [{ action: 'Deny', name: '0', peers: [], ports: [] }];
        expect(made.rows.flatMap((row) => row[direction] ?? [])).toEqual(closed);
      }
    },
  );

  it('says by name what is not done', () => {
    const made = withRule('egress', { action: 'Deny', to: [{ nodes: {} }] });
    expect(made.said).toEqual([
      'NotSupported spec.egress[0].to[0].nodes: peers by labels of nodes are not done by this release; the rule denies all',
    ]);
  });

  it('an action of tomorrow denies all', () => {
    expect(entries('ingress', { action: 'Log', from: [ALL] })).toEqual([
      { action: 'Deny', name: '0', peers: [], ports: [] },
    ]);
  });

  it('a selector that selects nobody is nobody, and not everybody', () => {
    const nobody = { namespaces: { matchLabels: { a: 'x'.repeat(64) } } };
    expect(entries('ingress', { action: 'Deny', from: [nobody] })).toEqual([]);
  });
});

/** What JSON can hold under the members of a rule, and under others. */
const { value: anything } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'medium', maxDepth: 5 },
    fc.constantFrom<unknown>(null, '', 'a', '10.0.0.0/8', 'In', 80, -1, 1.5, true),
    fc.jsonValue({ maxDepth: 1 }),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...MEMBERS), tie('value'), { maxKeys: 3 }),
  ),
}));

test('of any object tables come out that the API server takes', () => {
  const rule = fc.record(
    {
      action: fc.oneof(fc.constantFrom('Accept', 'Deny', 'Pass'), anything),
      name: fc.oneof(fc.constant('rule'), anything),
      from: fc.array(anything, { maxLength: 2 }),
      protocols: fc.array(anything, { maxLength: 2 }),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(rule, anything), { maxLength: 3 }), (ingress) => {
      translate({ tier: 'Admin', priority: 3, subject: ALL, ingress });
    }),
    { numRuns: 1_000 },
  );
});
