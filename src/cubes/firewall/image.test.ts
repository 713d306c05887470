// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Firewall, FirewallRule, Identity, Policy } from '../../api/generated/types.ts';
import { validate } from '../../api/validate.ts';
import type { ImageChange } from '../cube-type.ts';
import { capacities } from './compile.ts';
import { addresses, ruleBank } from './generated/codec.ts';
import { FirewallImage } from './image.ts';
import { firewall } from './type.ts';

function input(spec: object) {
  const checked = validate({
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'Cube',
    metadata: { name: 'fw', namespace: 'n' },
    spec: { nodeName: 'a', type: 'Firewall', firewall: spec },
  });
  if (!checked.ok) throw new Error(checked.message);
  const { firewall: valid } = checked.object.spec as unknown as { firewall: Firewall };
  return { namespace: 'n', name: 'fw', uid: 'u', ports: [], spec: valid };
}

const imageOf = (cube: ReturnType<typeof input>) => new FirewallImage(cube, { addresses: [] });

const rule = (over: Partial<FirewallRule> = {}): FirewallRule => ({
  action: 'Drop',
  priority: 1000,
  direction: 'Ingress',
  log: false,
  ...over,
});
const maps = ({ writes, afterGrace }: ImageChange) => [
  writes.map(({ map, op }) => `${op} ${map}`),
  afterGrace.map(({ map, op }) => `${op} ${map}`),
];
const word = ({ writes }: ImageChange): bigint => {
  const last = writes.at(-1);
  return last?.map === ruleBank.name ? ruleBank.decodeValue(last.values) : 0n;
};

/** What a kernel would hold, for images that take over. */
class Kernel {
  readonly rows = new Map<string, Map<string, Uint8Array>>();
  apply({ writes, afterGrace }: ImageChange): void {
    for (const { map, op, count, keys, values } of [...writes, ...afterGrace]) {
      const rows = this.rows.get(map) ?? new Map<string, Uint8Array>();
      this.rows.set(map, rows);
      const size = keys.length / count;
      for (let i = 0; i < count; i++) {
        const key = Buffer.from(keys.subarray(i * size, (i + 1) * size)).toString('hex');
        if (op === 'delete') expect(rows.delete(key)).toBe(true);
        else rows.set(key, values.slice((i * values.length) / count, ((i + 1) * values.length) / count));
      }
    }
  }
  /** Rows of `addresses` that packets find, as if the bank were the first one. */
  bankInForce(): string[] {
    const word = ruleBank.decodeValue(this.rows.get(ruleBank.name)?.get('00000000') ?? new Uint8Array(8));
    const bank = Number(word & 1n);
    return [...(this.rows.get(addresses.name) ?? [])]
      .flatMap(([hex, bytes]) => {
        const key = addresses.decodeKey(Buffer.from(hex, 'hex'));
        if (key.table >> 2 !== bank) return [];
        const { bitmap, only, word: bits } = addresses.decodeValue(bytes);
        const rest = [key.table & 3, key.length, bitmap - bank * capacities(512).bitmaps, only, bits];
        return [`${Buffer.from(key.addr).toString('hex')} ${rest.join(' ')}`];
      })
      .sort();
  }
  adoptedBy(image: FirewallImage): void {
    for (const map of [addresses.name, ruleBank.name]) {
      const rows = [...(this.rows.get(map) ?? [])];
      if (rows.length === 0) continue;
      const keys = Buffer.concat(rows.map(([key]) => Buffer.from(key, 'hex')));
      image.adopt(map, rows.length, keys, Buffer.concat(rows.map(([, value]) => value)));
    }
  }
}

test('a change fills the idle bank and moves the word last; a grace passes before that bank is filled again', () => {
  const image = imageOf(input({ rules: [rule({ sources: ['10.0.0.0/8'] })] }));
  image.settle();
  const first = image.take();
  expect(maps(first)[0]?.at(-1)).toBe('update rule_bank');
  expect(first.afterGrace).toEqual([]);
  expect(word(first) & 1n).toBe(0n);
  expect(maps(image.take())).toEqual([[], []]);

  image.setTable('n/t', [rule({ destinations: ['fd00::/8'] })]);
  const second = image.take();
  expect(maps(second)[0]?.at(-1)).toBe('update rule_bank');
  expect(maps(second)[1]).toEqual(['update rule_bank']); // as it is: what comes after it comes after the grace
  expect(second.afterGrace[0]?.values).toEqual(second.writes.at(-1)?.values);
  expect(word(second) & 1n).toBe(1n);
  const banks = (keys: Uint8Array) =>
    new Set(Array.from({ length: keys.length / 24 }, (_, i) => addresses.decodeKey(keys, i * 24).table >> 2));
  for (const { map, keys } of second.writes)
    if (map === addresses.name) expect(banks(keys)).toEqual(new Set([1]));

  image.setTable('n/t', undefined);
  expect(word(image.take()) >> 7n).toBe(word(first) >> 7n); // the same rules, the same generation
});

test('several changes before a take are one, and one that is taken back is none', () => {
  const image = imageOf(input({}));
  image.settle();
  const kernel = new Kernel();
  kernel.apply(image.take());
  for (let i = 0; i < 5; i++) {
    image.setTable('n/t', [rule({ sources: [`10.${i}.0.0/16`] })]);
    image.usage();
  }
  image.setTable('n/t', undefined);
  expect(maps(image.take())).toEqual([[], []]);
  image.setTable('n/t', [rule({ sources: ['10.9.0.0/16'] })]);
  image.usage();
  image.setTable('n/t', [rule({ sources: ['10.8.0.0/16'] })]);
  kernel.apply(image.take());
  expect(kernel.rows.get('addresses')?.size).toBe(1);
});

test('an agent that starts anew finds its rules in force, and goes on from what is in the idle bank', () => {
  const spec = input({ rules: [rule({ sources: ['10.0.0.0/8', 'fd00::/8'] })] });
  const kernel = new Kernel();
  const before = imageOf(spec);
  before.setTable('n/t', [rule({ sources: ['192.0.2.0/24'] })]);
  before.settle();
  kernel.apply(before.take());
  const same = imageOf(spec);
  kernel.adoptedBy(same);
  same.setTable('n/t', [rule({ sources: ['192.0.2.0/24'] })]);
  same.settle();
  expect(maps(same.take())).toEqual([[], []]);

  // killed between the flip and what comes after the grace
  before.setTable('n/t', undefined);
  kernel.apply({ ...before.take(), afterGrace: [] });
  const next = imageOf(spec);
  kernel.adoptedBy(next);
  next.setTable('n/t', [rule({ sources: ['198.51.100.0/24'] })]);
  next.settle();
  kernel.apply(next.take());
  const fresh = new Kernel();
  const anew = imageOf(spec);
  anew.setTable('n/t', [rule({ sources: ['198.51.100.0/24'] })]);
  anew.settle();
  fresh.apply(anew.take());
  expect(kernel.bankInForce()).toEqual(fresh.bankInForce());
});

test('after any changes, kills and takes the bank in force is that of rules that never were others', () => {
  const change = fc.record({
    table: fc.constantFrom('a', 'b'),
    sources: fc.array(
      fc.constantFrom('10.0.0.0/8', '10.1.0.0/16', '192.0.2.7/32', 'fd00::/8', 'fd00::7/128'),
    ),
    what: fc.constantFrom('set', 'set', 'take', 'take', 'kill', 'half a fill'),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 20 }), (changes) => {
      const spec = input({ rules: [rule({ sources: ['198.51.100.0/24'] })] });
      const kernel = new Kernel();
      const tables = new Map<string, FirewallRule[]>();
      const start = (from?: Kernel): FirewallImage => {
        const image = imageOf(spec);
        from?.adoptedBy(image);
        for (const [table, rows] of tables) image.setTable(`n/${table}`, rows);
        image.settle();
        return image;
      };
      let image = start();
      for (const { table, sources, what } of changes) {
        tables.set(table, [rule({ name: table, sources })]);
        image.setTable(`n/${table}`, tables.get(table));
        if (what === 'take') kernel.apply(image.take());
        if (what === 'half a fill') {
          const { writes } = image.take();
          kernel.apply({ writes: writes.slice(0, writes.length >> 1), afterGrace: [] });
        }
        if (what === 'kill' || what === 'half a fill') image = start(kernel);
      }
      kernel.apply(image.take());
      const fresh = new Kernel();
      fresh.apply(start().take());
      expect(kernel.bankInForce()).toEqual(fresh.bankInForce());
    }),
    { numRuns: 60 },
  );
});

test('one address more among thousands is a few rows', () => {
  const image = imageOf(input({}));
  const all: Identity = {
    id: 1,
    namespace: 'shop',
    addresses: Array.from({ length: 3000 }, (_, i) => `10.1.${i >> 8}.${i & 255}`),
  };
  const rowsOf = (identity: Identity) => {
    image.setTable('n/pods', [identity], undefined, 'Identity');
    const { writes, afterGrace } = image.take();
    const counts = [...writes, ...afterGrace].filter(({ map }) => map === addresses.name);
    return counts.reduce((sum, { count }) => sum + count, 0);
  };
  image.setTable('n/p', policies(1), undefined, 'Policy');
  image.settle();
  expect(rowsOf(all)).toBeGreaterThanOrEqual(3000);
  const more = (count: number): Identity => ({
    ...all,
    addresses: [...(all.addresses ?? []), ...Array.from({ length: count }, (_, i) => `10.2.0.${i}`)],
  });
  expect(rowsOf(more(1))).toBeGreaterThan(3000); // the other bank's first
  expect(rowsOf(more(2))).toBeLessThan(10);
  expect(rowsOf(more(3))).toBeLessThan(10);
});

test('rules are tried by priority, the spec before tables, slices in their order', () => {
  const image = imageOf(input({ rules: [rule({ name: 'spec' }), rule({ name: 'late', priority: 2000 })] }));
  const slice = (index: number) => ({ owner: 'o', index, count: 12, revision: '1' });
  image.setTable('n/z-10', [rule({ name: 'ten' })], slice(10));
  image.setTable('n/z-2', [rule({ name: 'two' })], slice(2));
  image.setTable('n/a', [rule({ name: 'first', priority: 1 })]);
  image.settle();
  const { writes } = image.take();
  const rows = writes.find(({ map }) => map === 'rules');
  expect(rows?.count).toBe(5);
  const names = Array.from({ length: 5 }, (_, i) =>
    image.nameObject('rule', Buffer.from(rows?.values ?? []).readBigUInt64LE(i * 16)),
  );
  expect(names).toEqual([
    'CubeTable n/a, rule 0 (first)',
    'rule 0 (spec)',
    'CubeTable n/z-2, rule 0 (two)',
    'CubeTable n/z-10, rule 0 (ten)',
    'rule 1 (late)',
  ]);
});

test('a table that does not fit is refused whole, and what is in force stays', () => {
  const image = imageOf(input({ maxRules: 16 }));
  const many = (count: number) => Array.from({ length: count }, (_, i) => rule({ name: `r${i}` }));
  expect(image.setTable('n/t', many(16))).toEqual([]);
  image.settle();
  image.take();
  expect(image.setTable('n/u', many(1))).toMatchObject([{ reason: 'TooManyRules', field: 'spec.rules' }]);
  expect(maps(image.take())).toEqual([[], []]);
  expect(image.setTable('n/t', many(17))[0]?.message).toContain('maxRules is 16');
  expect(image.usage().rules).toEqual({ used: 16, max: 16 });
  expect(image.setTable('n/t', many(3))).toEqual([]);
});

test.each([
  ['families', { sources: ['10.0.0.0/8'], destinations: ['fd00::/8'] }],
  ['TCP', { tcpFlags: { mask: ['SYN'], set: [] }, protocols: ['UDP'] }],
  ['protocols', { ports: [{ protocol: 'TCP' }], sourcePorts: [{ protocol: 'UDP', port: 1 }] }],
] as const)('a rule that matches no packet for its %s is refused', (word, over) => {
  const problems = firewall.check(input({ rules: [rule(), rule(over as unknown as FirewallRule)] }));
  expect(problems).toMatchObject([{ reason: 'RuleMatchesNothing', field: 'spec.firewall.rules[1]' }]);
  expect(problems[0]?.message).toContain(word);
});

test('what a record of the log says', () => {
  const image = imageOf(input({ rules: [rule({ name: 'no-telnet' })] }));
  image.settle();
  const rows = image.take().writes.find(({ map }) => map === 'rules');
  const metadata = Buffer.from(rows?.values ?? []).readBigUInt64LE(0);
  const record = { kind: 'Log', code: 0, metadata, port: 0 } as unknown as Parameters<
    FirewallImage['punted']
  >[0];
  expect(image.punted(record).logs).toEqual([
    { message: 'dropped', fields: { action: 'Drop', direction: 'Ingress', rule: 'rule 0 (no-telnet)' } },
  ]);
});

const policies = (count: number): Policy[] =>
  Array.from({ length: count }, (_, i) => ({ namespace: 'shop', name: `p${i}` }));
const PODS: Identity[] = [{ id: 1, namespace: 'shop', addresses: ['10.244.1.5'] }];
const TOO_MANY = [{ reason: 'TooManyRules', field: 'spec.tables' }];

test('policies that do not fit are refused, and those before stay in force', () => {
  const image = imageOf(input({ maxRules: 16 }));
  image.setTable('n/pods', PODS, undefined, 'Identity');
  image.setTable('n/p', policies(16), undefined, 'Policy');
  image.settle();
  image.take();
  expect(image.problems()).toEqual([]);
  image.setTable('n/p', policies(17), undefined, 'Policy');
  expect(maps(image.take())).toEqual([[], []]);
  const [problem] = image.problems();
  expect(problem).toMatchObject(TOO_MANY[0] as object);
  expect(problem?.message).toMatch(
    /17 rules .* maxRules is 16.*before stay in force.*Raise spec.firewall.maxRules of Cube n\/fw/,
  );
  expect(image.usage().rules).toEqual({ used: 16, max: 16 });
  image.setTable('n/p', policies(3), undefined, 'Policy');
  expect(image.take().writes.length).toBeGreaterThan(0);
  expect(image.problems()).toEqual([]);
});

test('before any policies fit nothing passes but what is of the node; an agent that starts anew leaves the kernel as it was', () => {
  const spec = input({ maxRules: 16, defaultActions: { ingress: 'Allow' } });
  const kernel = new Kernel();
  const set = (image: FirewallImage, count: number) => {
    image.setTable('n/pods', PODS, undefined, 'Identity');
    image.setTable('n/p', policies(count), undefined, 'Policy');
  };
  const closed = new FirewallImage(spec, { addresses: ['172.18.0.2'] });
  set(closed, 40);
  closed.settle();
  expect(closed.problems()[0]?.message).toContain('Nothing passes but what the node itself');
  expect(closed.usage().rules?.used).toBe(2); // the node, and all others
  closed.take();

  const first = imageOf(spec);
  set(first, 5);
  first.settle();
  kernel.apply(first.take());
  const before = JSON.stringify([...(kernel.rows.get('addresses') ?? [])]);
  const anew = imageOf(spec);
  kernel.adoptedBy(anew);
  set(anew, 40);
  anew.settle();
  expect(maps(anew.take())).toEqual([[], []]);
  expect(anew.problems()).toMatchObject(TOO_MANY);
  set(anew, 5);
  kernel.apply(anew.take());
  expect(JSON.stringify([...(kernel.rows.get('addresses') ?? [])])).toBe(before);
});

test('a table may become one of another type; an address that is none is refused by name', () => {
  const image = imageOf(input({}));
  image.settle();
  image.setTable('n/t', [rule()], undefined, 'Rule');
  image.setTable('n/t', policies(1), undefined, 'Policy');
  const wrong = [{ id: 1, namespace: 'shop', addresses: ['10.244.1.5', '::ffff:10.0.0.1'] }];
  expect(image.setTable('n/pods', wrong, undefined, 'Identity')).toMatchObject([
    { reason: 'InvalidAddress', field: 'spec.identities[0].addresses[1]' },
  ]);
  expect(image.usage().rules?.used).toBe(1);
  image.setTable('n/t', undefined);
  expect(image.usage().rules?.used).toBe(0);
});

test('rules that nothing changed in are the same generation, whatever the order of rows; the node is told in place', () => {
  const image = imageOf(input({}));
  const more: Identity[] = [...PODS, { id: 2, namespace: 'shop', addresses: ['10.244.1.6'] }];
  image.setTable('n/pods', more, undefined, 'Identity');
  image.setTable('n/p', policies(2), undefined, 'Policy');
  image.settle();
  image.take();
  image.setTable('n/pods', [...more].reverse(), undefined, 'Identity');
  image.setTable('n/p', policies(2).reverse(), undefined, 'Policy');
  expect(maps(image.take())).toEqual([[], []]);
  const node = { name: 'a', gatewayMac: '', overlayVni: 1, redirectPeer: true, addresses: ['172.18.0.2'] };
  image.setNode(node);
  expect(maps(image.take())[0]?.at(-1)).toBe('update rule_bank');
  image.setNode(node);
  expect(maps(image.take())).toEqual([[], []]);
});
