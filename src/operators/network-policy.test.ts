// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from '@jest/globals';
import type { Policy, PolicyCubeTableSpec } from '../api/generated/types.ts';
import { validate } from '../api/validate.ts';
import type { NetworkPolicyInput } from './inputs.ts';
import { tablesOfNetworkPolicy } from './network-policy.ts';

type Spec = NonNullable<NetworkPolicyInput['spec']>;

function translate(spec: Spec | null | undefined): { rows: Policy[]; problems: string[] } {
  const metadata = { namespace: 'shop', name: 'web.v1', uid: 'u-1' };
  const { tables, diagnostics } = tablesOfNetworkPolicy(
    { metadata, spec },
    { namespace: 'cubeplane-system' },
  );
  for (const [index, table] of tables.entries()) {
    const validation = validate(table);
    if (!validation.ok) throw new Error(validation.message);
    expect(validation.object).toEqual(table);
    expect(table.metadata).toMatchObject({ name: `policy.shop.web.v1.${index}` });
    expect(table.spec.slice).toMatchObject({ owner: 'u-1', index, count: tables.length });
  }
  return {
    rows: tables.flatMap((table) => (table.spec as PolicyCubeTableSpec).policies),
    problems: diagnostics.map(({ reason, field }) => `${reason} ${field}`),
  };
}

/** The one row of a policy that is not cut. */
function rowOf(spec: Spec): { row: Policy; problems: string[] } {
  const { rows, problems } = translate(spec);
  expect(rows).toHaveLength(1);
  return { row: rows[0] as Policy, problems };
}

const app = (value: string) => ({ matchLabels: { app: value } });
const from = (...peers: unknown[]): Spec => ({ ingress: [{ from: peers as never }] });
const peersIn = (spec: Spec) => rowOf(spec).row.ingress?.flatMap((entry) => entry.peers);
const ports = (...list: unknown[]): Spec => ({ ingress: [{ ports: list as never }] });

describe('directions', () => {
  it.each<[string, Spec, string[]]>([
    ['Ingress where nothing is said', {}, ['Ingress']],
    ['Ingress with ingress entries', { ingress: [{}] }, ['Ingress']],
    ['both with egress entries', { egress: [{}] }, ['Ingress', 'Egress']],
    ['no Egress with an empty list', { egress: [] }, ['Ingress']],
    ['the default for an empty list of types', { policyTypes: [], egress: [{}] }, ['Ingress', 'Egress']],
    ['Egress alone', { policyTypes: ['Egress'] }, ['Egress']],
    ['both, in one order', { policyTypes: ['Egress', 'Ingress'] }, ['Ingress', 'Egress']],
  ])('are %s', (_, spec, types) => {
    expect(rowOf(spec).row.types).toEqual(types);
  });

  it('leave out entries of a direction that is not isolated', () => {
    expect(rowOf({ policyTypes: ['Egress'], ingress: [{}], egress: [{}] }).row).toMatchObject({
      ingress: [],
      egress: [{ peers: [], ports: [] }],
    });
  });

  it('are both where the only type is unknown, so that nothing passes that was meant to be held', () => {
    const { row, problems } = rowOf({ policyTypes: ['Sideways'] });
    expect(row).toMatchObject({ types: ['Ingress', 'Egress'], ingress: [], egress: [] });
    expect(problems).toEqual(['NotSupported spec.policyTypes[0]']);
  });
});

describe('a policy', () => {
  it('without entries is a default deny, and one without a spec too', () => {
    const deny = {
      namespace: 'shop',
      name: 'web.v1',
      uid: 'u-1',
      podSelector: {},
      types: ['Ingress'],
      ingress: [],
      egress: [],
    };
    expect(translate({}).rows).toEqual([deny]);
    expect(translate({ podSelector: null, ingress: null, egress: null }).rows).toEqual([deny]);
    expect(translate(null).rows).toEqual([deny]);
  });

  it('that selects by a value no label can have is for no pods', () => {
    expect(translate({ podSelector: app('x'.repeat(64)) })).toEqual({ rows: [], problems: [] });
  });

  it('whose selector is not understood isolates all that might be meant, and allows nothing', () => {
    const { row, problems } = rowOf({
      podSelector: {
        matchLabels: { app: 'web' },
        matchExpressions: [{ key: 'tier', operator: 'Near', values: ['x'] }],
      },
      ingress: [{}],
    });
    expect(row).toMatchObject({ podSelector: { matchLabels: { app: 'web' } }, ingress: [] });
    expect(problems).toEqual(['InvalidSelector spec.podSelector.matchExpressions[0]']);
  });
});

describe('peers', () => {
  it.each<[string, unknown, unknown]>([
    ['pods of the own namespace', { podSelector: app('a') }, { podSelector: app('a') }],
    ['all pods of the own namespace', { podSelector: {} }, { podSelector: {} }],
    ['all namespaces, not none', { namespaceSelector: {} }, { namespaceSelector: {} }],
    [
      'both selectors, which both must match',
      { namespaceSelector: app('n'), podSelector: app('a') },
      { namespaceSelector: app('n'), podSelector: app('a') },
    ],
    ['labels without a value', { podSelector: app('') }, { podSelector: app('') }],
    ['a prefix in one spelling', { ipBlock: { cidr: '10.1.2.3/8' } }, { cidr: '10.0.0.0/8' }],
    [
      'a prefix with exceptions',
      { ipBlock: { cidr: 'FD00::/8', except: ['fd00:1::/32'] } },
      { cidr: 'fd00::/8', except: ['fd00:1::/32'] },
    ],
    [
      'an exception outside, which takes nothing away',
      { ipBlock: { cidr: '10.0.0.0/8', except: ['11.0.0.0/16', 'fd00::/64'] } },
      { cidr: '10.0.0.0/8' },
    ],
  ])('are %s', (_, peer, expected) => {
    expect(peersIn(from(peer))).toEqual([expected]);
  });

  it.each<[string, Spec]>([
    ['no list', { ingress: [{}] }],
    ['an empty list', { ingress: [{ from: [], ports: [] }] }],
    ['null', { ingress: [{ from: null, ports: null }] }],
  ])('are anybody with %s', (_, spec) => {
    expect(rowOf(spec)).toMatchObject({ row: { ingress: [{ peers: [], ports: [] }] }, problems: [] });
  });

  it.each<[string, unknown, string]>([
    ['null', null, 'InvalidPeer spec.ingress[0].from[0]'],
    ['nobody', {}, 'InvalidPeer spec.ingress[0].from[0]'],
    [
      'a prefix and a selector',
      { ipBlock: { cidr: '10.0.0.0/8' }, podSelector: {} },
      'InvalidPeer spec.ingress[0].from[0]',
    ],
    [
      'a field of tomorrow',
      { podSelector: {}, zoneSelector: {} },
      'NotSupported spec.ingress[0].from[0].zoneSelector',
    ],
    [
      'a bad prefix',
      { ipBlock: { cidr: '10.0.0.0/33' } },
      'InvalidCIDR spec.ingress[0].from[0].ipBlock.cidr',
    ],
    [
      'a bad exception, without which it would allow too much',
      { ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0'] } },
      'InvalidCIDR spec.ingress[0].from[0].ipBlock.except[0]',
    ],
    [
      'an unknown operator',
      { podSelector: { matchExpressions: [{ key: 'a', operator: 'Gt', values: ['1'] }] } },
      'InvalidSelector spec.ingress[0].from[0].podSelector.matchExpressions[0]',
    ],
    [
      'In without values',
      { namespaceSelector: { matchExpressions: [{ key: 'a', operator: 'In', values: [] }] } },
      'InvalidSelector spec.ingress[0].from[0].namespaceSelector.matchExpressions[0]',
    ],
  ])('that are %s allow nothing: alone they take the entry with them', (_, peer, problem) => {
    const alone = rowOf(from(peer));
    expect(alone.row).toMatchObject({ types: ['Ingress'], ingress: [] });
    expect(alone.problems).toEqual([problem]);
    expect(peersIn(from(peer, { podSelector: app('a') }))).toEqual([{ podSelector: app('a') }]);
  });

  it('that are excepted whole allow nothing', () => {
    const { row, problems } = rowOf(from({ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/8'] } }));
    expect(row.ingress).toEqual([]);
    expect(problems).toEqual([]);
  });

  it('stand in `to` for egress', () => {
    const { row } = rowOf({ policyTypes: ['Egress'], egress: [{ to: [{ podSelector: {} }] }] });
    expect(row.egress).toEqual([{ peers: [{ podSelector: {} }], ports: [] }]);
    expect(rowOf({ egress: [{ from: [{ podSelector: {} }] }] }).row.egress).toEqual([]);
  });

  it('decide about values that no label can have', () => {
    const long = 'x'.repeat(64);
    const expression = (operator: string, values: string[]) => ({
      podSelector: { matchExpressions: [{ key: 'a', operator, values }] },
    });
    expect(rowOf(from(expression('In', [long]))).row.ingress).toEqual([]);
    expect(peersIn(from(expression('In', [long, 'b'])))).toEqual([expression('In', ['b'])]);
    expect(peersIn(from(expression('NotIn', [long])))).toEqual([{ podSelector: {} }]);
  });
});

describe('ports', () => {
  it.each<[string, unknown, unknown]>([
    ['TCP by default', { port: 80 }, { protocol: 'TCP', port: 80 }],
    ['all of a protocol', { protocol: 'UDP' }, { protocol: 'UDP' }],
    [
      'a range',
      { protocol: 'SCTP', port: 1, endPort: 65_535 },
      { protocol: 'SCTP', port: 1, endPort: 65_535 },
    ],
    ['a range of one', { port: 80, endPort: 80 }, { protocol: 'TCP', port: 80, endPort: 80 }],
    ['names', { port: 'http', protocol: 'TCP' }, { protocol: 'TCP', name: 'http' }],
  ])('are %s', (_, port, expected) => {
    expect(rowOf(ports(port))).toMatchObject({
      row: { ingress: [{ peers: [], ports: [expected] }] },
      problems: [],
    });
  });

  it.each<[string, unknown, string]>([
    ['a name with endPort', { port: 'http', endPort: 90 }, 'InvalidPort spec.ingress[0].ports[0].endPort'],
    ['endPort alone', { endPort: 90 }, 'InvalidPort spec.ingress[0].ports[0].endPort'],
    ['a range backwards', { port: 90, endPort: 80 }, 'InvalidPort spec.ingress[0].ports[0].endPort'],
    ['out of range', { port: 65_536 }, 'InvalidPort spec.ingress[0].ports[0].port'],
    ['a number in quotes', { port: '80' }, 'InvalidPort spec.ingress[0].ports[0].port'],
    ['of an unknown protocol', { protocol: 'ICMP' }, 'NotSupported spec.ingress[0].ports[0].protocol'],
    ['null', null, 'InvalidPort spec.ingress[0].ports[0]'],
  ])('that are %s allow nothing: alone they take the entry with them', (_, port, problem) => {
    expect(rowOf(ports(port))).toMatchObject({ row: { ingress: [] }, problems: [problem] });
    expect(rowOf(ports(port, { port: 1 })).row.ingress).toEqual([
      { peers: [], ports: [{ protocol: 'TCP', port: 1 }] },
    ]);
  });
});

describe('sizes', () => {
  it('cuts entries into rows of one revision', () => {
    const { rows, problems } = translate({
      podSelector: app('web'),
      ingress: Array.from({ length: 70 }, (_, port) => ({ ports: [{ port: port + 1 }] })),
      egress: Array.from({ length: 33 }, (_, port) => ({ ports: [{ port: port + 1 }] })),
    });
    expect(rows.map((row) => [row.ingress?.length, row.egress?.length])).toEqual([
      [32, 32],
      [32, 1],
      [6, 0],
    ]);
    expect(new Set(rows.map(({ podSelector, types }) => JSON.stringify({ podSelector, types }))).size).toBe(
      1,
    );
    expect(problems).toEqual([]);
  });

  it('cuts selectors: In into several, NotIn into several requirements', () => {
    const values = Array.from({ length: 100 }, (_, i) => `v${i}`);
    const expression = (operator: string) => ({ matchExpressions: [{ key: 'a', operator, values }] });
    expect(translate({ podSelector: expression('In') }).rows).toHaveLength(2);
    const { row } = rowOf({ podSelector: expression('NotIn') });
    expect(row.podSelector?.matchExpressions?.map((one) => one.values?.length)).toEqual([64, 36]);
  });

  it('does not let one policy become a hundred thousand entries', () => {
    const { rows, problems } = translate({
      ingress: [
        { ports: [{ port: 1 }] },
        {
          from: Array.from({ length: 20_000 }, () => ({ podSelector: {} })),
          ports: Array.from({ length: 10_000 }, (_, port) => ({ port: port + 1 })),
        },
      ],
    });
    expect(rows.map((row) => row.ingress?.length)).toEqual([1]);
    expect(problems).toEqual(['TooMany spec.ingress[1]']);
  });
});
