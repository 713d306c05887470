// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { validate } from '../api/validate.ts';
import { AUDIT_ANNOTATION, addressesOf, identityOf, numberOf, trimmedNamespace } from './identity.ts';
import { IdentityIndex } from './identity-index.ts';
import { IdentityNumbers } from './identity-numbers.ts';
import { tablesOfIdentity } from './identity-tables.ts';
import type { NamespaceInput, PodInput } from './inputs.ts';
import type { Relevant } from './relevant.ts';

const relevant = (podLabels: string[], namespaceLabels: string[] = [], ports: string[] = []): Relevant => ({
  podLabels: new Set(podLabels),
  namespaceLabels: new Set(namespaceLabels),
  ports: new Set(ports),
});
const namespace = (name: string, labels: Record<string, string> = {}): NamespaceInput => ({
  metadata: { name, labels },
});
const pod = (labels: Record<string, string>, extra: Partial<PodInput> = {}, name = 'p'): PodInput => ({
  metadata: { namespace: 'shop', name, uid: name, labels },
  spec: {},
  status: { podIPs: [{ ip: '10.244.1.5' }, { ip: 'FD00:244::5' }] },
  ...extra,
});
const SHOP = namespace('shop', { team: 'red', cost: '7' });

describe('the identity of a pod', () => {
  it('is its namespace and what policies look at, in whatever order it stands', () => {
    const asked = relevant(['app', 'tier'], ['team'], ['http']);
    const ports = (
      ...list: { name: string; protocol?: string; containerPort: number }[]
    ): Partial<PodInput> => ({
      spec: { containers: [{ ports: list }] },
    });
    const http = { name: 'http', containerPort: 8080 };
    const one = identityOf(
      pod({ tier: 'x', app: 'web', hash: '1' }, ports({ name: 'admin', containerPort: 9 }, http)),
      SHOP,
      asked,
    );
    const two = identityOf(pod({ app: 'web', hash: '2', tier: 'x' }, ports(http)), SHOP, asked);
    expect(one).toEqual(two);
    expect(one?.row).toEqual({
      id: expect.any(Number),
      namespace: 'shop',
      labels: { app: 'web', tier: 'x' },
      namespaceLabels: { team: 'red' },
      ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
    });
  });

  it('is never to change: agents of another version would know the pods by other numbers', () => {
    const { key, row } = identityOf(pod({ app: 'web' }), SHOP, relevant(['app'])) ?? {};
    expect([key, row?.id]).toEqual(['shop/fa61a802bda7fab1', 3_548_061_170]);
  });

  it('differs by an empty label, a namespace, a port number, and not by what is not relevant', () => {
    const key = (one: PodInput, where: NamespaceInput, asked: Relevant) => identityOf(one, where, asked)?.key;
    const asked = relevant(['app']);
    const plain = key(pod({}), SHOP, asked);
    expect(key(pod({ app: '' }), SHOP, asked)).not.toBe(plain);
    expect(key(pod({ other: 'x' }), SHOP, asked)).toBe(plain);
    const elsewhere = { ...pod({}), metadata: { namespace: 'two', name: 'p' } };
    expect(key(elsewhere, namespace('two'), asked)).not.toBe(plain);
    expect(key(pod({}), namespace('shop', { team: 'blue' }), asked)).toBe(plain);
    expect(key(pod({}), namespace('shop', { team: 'blue' }), relevant([], ['team']))).not.toBe(
      key(pod({}), SHOP, relevant([], ['team'])),
    );
  });

  it('reads ports as the kubelet does: sidecars too, the first of a name and protocol', () => {
    const spec = {
      initContainers: [
        { ports: [{ name: 'init', containerPort: 1 }] },
        { restartPolicy: 'Always', ports: [{ name: 'mesh', containerPort: 15_000 }] },
      ],
      containers: [
        {
          ports: [
            { name: 'dns', protocol: 'UDP', containerPort: 53 },
            { name: 'dns', containerPort: 53 },
          ],
        },
        {
          ports: [
            { name: 'dns', containerPort: 54 },
            { name: 'bad', containerPort: 0 },
            { containerPort: 7 },
          ],
        },
        { ports: null },
      ],
    };
    const row = identityOf(pod({}, { spec }), SHOP, relevant([], [], ['dns', 'mesh', 'init', 'bad']))?.row;
    expect(row?.ports).toEqual([
      { name: 'dns', protocol: 'TCP', port: 53 },
      { name: 'dns', protocol: 'UDP', port: 53 },
      { name: 'mesh', protocol: 'TCP', port: 15_000 },
    ]);
  });

  it.each<[string, Partial<PodInput>]>([
    ['on the network of its node', { spec: { hostNetwork: true } }],
    ['that succeeded', { status: { phase: 'Succeeded', podIP: '10.244.1.5' } }],
    ['that failed', { status: { phase: 'Failed', podIP: '10.244.1.5' } }],
  ])('is none for a pod %s', (_, extra) => {
    expect(identityOf(pod({}, extra), SHOP, relevant([]))).toBeUndefined();
  });

  it('ignores names that every object has', () => {
    expect(identityOf(pod({}), SHOP, relevant(['constructor', 'toString']))?.row.labels).toEqual({});
  });

  it('fits into a row, and says what does not', () => {
    const keys = Array.from({ length: 70 }, (_, i) => `k${i}`);
    const identity = identityOf(pod(Object.fromEntries(keys.map((key) => [key, 'v']))), SHOP, relevant(keys));
    expect([Object.keys(identity?.row.labels ?? {}).length, identity?.cut]).toEqual([64, 6]);
  });
});

describe('audit', () => {
  const annotated = (value: string): NamespaceInput => ({
    metadata: { ...SHOP.metadata, annotations: { [AUDIT_ANNOTATION]: value, other: 'x' } },
  });
  const of = (input: NamespaceInput) => identityOf(pod({ app: 'web' }), input, relevant(['app']));

  it('is another identity while the namespace asks for it, and the same as before afterwards', () => {
    expect(of(annotated('true'))?.row.audit).toBe(true);
    expect(of(annotated('true'))?.key).not.toBe(of(SHOP)?.key);
    for (const value of ['false', '', 'True', 'yes']) expect(of(annotated(value))).toEqual(of(SHOP));
    expect(of(SHOP)?.row).not.toHaveProperty('audit');
    const labelled = pod({ app: 'web' }, {}, 'p');
    labelled.metadata.annotations = { [AUDIT_ANNOTATION]: 'true' };
    expect(identityOf(labelled, SHOP, relevant(['app']))).toEqual(of(SHOP)); // not for pods to say
  });

  it('is what is kept of the annotations of a namespace', () => {
    const kept = trimmedNamespace(annotated('true'));
    expect(kept.metadata).toEqual({ ...SHOP.metadata, annotations: { [AUDIT_ANNOTATION]: 'true' } });
    expect(of(kept)).toEqual(of(annotated('true')));
    expect(trimmedNamespace({ metadata: {} })).toEqual({ metadata: { labels: {} } });
  });
});

describe('addresses of a pod', () => {
  it.each<[string, PodInput['status'], string[]]>([
    [
      'both families in one spelling',
      { podIPs: [{ ip: '10.244.1.5' }, { ip: 'FD00:244::5' }] },
      ['10.244.1.5', 'fd00:244::5'],
    ],
    ['podIP where there is no list', { podIP: '10.244.1.5' }, ['10.244.1.5']],
    ['none yet', { podIPs: [], podIP: '' }, []],
    ['none in an odd status', { podIPs: [{ ip: null }, { ip: 'x' }, { ip: '127.0.0.1' }] }, []],
    ['no status', null, []],
  ])('are %s', (_, status, expected) => {
    expect(addressesOf({ metadata: {}, status })).toEqual(expected);
  });
});

describe('numbers', () => {
  it('are 1 to 2^32 - 1 and the first choice where nobody else wants it', () => {
    const numbers = new IdentityNumbers();
    for (let i = 0; i < 1000; i++) {
      expect(numbers.add(`shop/${i}`)).toEqual([]);
      expect(numbers.of(`shop/${i}`)).toBe(numberOf(`shop/${i}`, 0));
      expect(numbers.of(`shop/${i}`)).toBeGreaterThan(0);
    }
  });

  it('are different and follow from the set alone, in whatever order it came to be', () => {
    const weak = (key: string, attempt: number): number => 1 + (numberOf(key, attempt) % 31);
    const keys = fc.uniqueArray(fc.integer({ min: 0, max: 99 }).map(String), { maxLength: 20 });
    fc.assert(
      fc.property(keys, keys, (wanted, others) => {
        const one = new IdentityNumbers(weak);
        const two = new IdentityNumbers(weak);
        const told = new Map<string, number>();
        const step = (changed: string[], key: string): void => {
          for (const each of [...changed, key]) told.set(each, one.of(each));
        };
        for (const key of [...others, ...wanted]) if (!told.has(key)) step(one.add(key), key);
        for (const key of others) if (!wanted.includes(key)) step(one.delete(key), key);
        for (const key of [...wanted].reverse()) two.add(key);
        const ids = wanted.map((key) => one.of(key));
        expect(new Set(ids).size).toBe(ids.length);
        expect(wanted.map((key) => two.of(key))).toEqual(ids);
        // Whoever was told of each change knows the numbers.
        expect(wanted.map((key) => told.get(key))).toEqual(ids);
      }),
    );
  });
});

describe('the tables of an identity', () => {
  const identity = identityOf(pod({ app: 'web' }), SHOP, relevant(['app']));
  const tables = (count: number) => {
    if (identity === undefined) throw new Error('no identity');
    const addresses = Array.from({ length: count }, (_, i) => `10.244.${i >> 8}.${i & 255}`);
    return tablesOfIdentity(identity, addresses, { namespace: 'system' });
  };
  const rowsOf = (count: number) =>
    tables(count).map(({ spec }) => (spec.type === 'Identity' ? (spec.identities[0]?.addresses ?? []) : []));

  it('are one for 500 addresses, and slices of one revision for a thousand', () => {
    for (const count of [1, 500, 1000, 3000]) {
      for (const table of tables(count)) {
        const validation = validate(table);
        if (!validation.ok) throw new Error(validation.message);
        expect(validation.object).toEqual(table);
      }
      expect(new Set(rowsOf(count).flat()).size).toBe(count);
    }
    expect([tables(1).length, tables(500).length, tables(1000).length]).toEqual([1, 1, 4]);
    expect(new Set(tables(1000).map((table) => table.spec.slice?.revision)).size).toBe(1);
    expect(tables(1)[0]?.metadata.name).toMatch(/^identity\.shop\.[0-9a-f]{16}\.0$/);
  });

  it('change by one slice when one pod comes', () => {
    const [before, after] = [rowsOf(1000), rowsOf(1001)];
    expect(before.filter((row, index) => JSON.stringify(row) !== JSON.stringify(after[index]))).toHaveLength(
      1,
    );
  });
});

describe('pods by identity', () => {
  const ask = relevant(['app'], ['team']);
  const at = (address: string, extra: Partial<PodInput['metadata']> = {}): PodInput => ({
    metadata: { namespace: 'shop', name: 'p', labels: { app: 'a' }, ...extra },
    status: { podIP: address },
  });

  it('tells the one identity that a new pod changes, and nothing when a pod says the same again', () => {
    const index = new IdentityIndex();
    for (let i = 0; i < 300; i++) index.set(`shop/${i}`, at(`10.244.1.${i}`), SHOP, ask);
    const changed = index.set('shop/new', at('10.244.2.1'), SHOP, ask);
    expect([index.size, [...changed]]).toEqual([1, [...index.keys()]]);
    expect(index.set('shop/new', at('10.244.2.1'), SHOP, ask).size).toBe(0);
  });

  it('waits for the namespace rather than to take its labels for absent', () => {
    const index = new IdentityIndex();
    expect(index.set('shop/p', at('10.244.1.1'), undefined, ask).size).toBe(0);
    expect(index.set('shop/p', at('10.244.1.1'), SHOP, ask).size).toBe(1);
  });

  it('gives an address to the later of two pods, and back when that one goes', () => {
    const index = new IdentityIndex();
    const old = at('10.244.1.1', { labels: { app: 'old' }, creationTimestamp: '2026-01-01T00:00:00Z' });
    const young = at('10.244.1.1', { labels: { app: 'new' }, creationTimestamp: '2026-01-02T00:00:00Z' });
    index.set('shop/young', young, SHOP, ask);
    expect(index.set('shop/old', old, SHOP, ask).size).toBe(0);
    const ownerLabels = () => index.get(index.ownerOf('10.244.1.1') ?? '')?.identity.row.labels;
    expect(ownerLabels()).toEqual({ app: 'new' });
    const leaving = { ...young, metadata: { ...young.metadata, deletionTimestamp: '2026-01-03T00:00:00Z' } };
    expect(index.set('shop/young', leaving, SHOP, ask).size).toBe(2);
    expect(ownerLabels()).toEqual({ app: 'old' });
  });

  it('puts each address into exactly one identity, whatever came before in whatever order', () => {
    const one = fc.record({
      name: fc.constantFrom('p1', 'p2', 'p3', 'p4', 'p5', 'p6'),
      namespace: fc.constantFrom('n1', 'n2'),
      labels: fc.dictionary(fc.constantFrom('app', 'x'), fc.constantFrom('', 'a', 'b')),
      address: fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined }),
      creationTimestamp: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'),
      hostNetwork: fc.boolean(),
      gone: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 30 }), (events) => {
        const index = new IdentityIndex();
        const last = new Map<string, { pod: PodInput; where: NamespaceInput }>();
        const told = new Map<string, string>();
        const lookAt = (key: string): string => JSON.stringify(index.get(key)) ?? '';
        const set = (key: string, value: PodInput | undefined, where: NamespaceInput): void => {
          for (const changed of index.set(key, value, where, ask)) told.set(changed, lookAt(changed));
        };
        for (const {
          name,
          namespace: space,
          labels,
          address,
          creationTimestamp,
          hostNetwork,
          gone,
        } of events) {
          const key = `${space}/${name}`;
          const where = namespace(space, { team: space });
          const value: PodInput = {
            metadata: { namespace: space, name, uid: key, labels, creationTimestamp },
            spec: { hostNetwork },
            status: { podIP: address === undefined ? '' : `10.0.0.${address}` },
          };
          set(key, gone ? undefined : value, where);
          if (gone) last.delete(key);
          else last.set(key, { pod: value, where });
        }
        const fresh = new IdentityIndex();
        for (const [key, { pod: value, where }] of [...last].reverse()) fresh.set(key, value, where, ask);
        const all = (of: IdentityIndex) => [...of.keys()].sort().map((key) => of.get(key));
        expect(all(index)).toEqual(all(fresh));
        const listed = all(index).flatMap((group) => group?.addresses ?? []);
        const expected = [...last.values()].filter(({ pod: { spec } }) => spec?.hostNetwork !== true);
        expect(listed.sort()).toEqual(
          [...new Set(expected.flatMap(({ pod: value }) => addressesOf(value)))].sort(),
        );
        // Each change was told, so a table is never behind.
        for (const key of index.keys()) expect(told.get(key)).toBe(lookAt(key));
        for (const [key, text] of told) if (index.get(key) === undefined) expect(text).toBe('');
      }),
    );
  });
});
