// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { describeObject, isDnsLabel, isDnsSubdomain, labelValue, memberName, tableName } from './names.ts';

const letters = 'abcdefghijklmnopqrstuvwxyz0123456789'.split('');
const label = fc
  .array(fc.constantFrom(...letters, '-'), { minLength: 1, maxLength: 63 })
  .map((parts) => parts.join('').replace(/^-|-$/g, 'x'));
const subdomain = fc.array(label, { minLength: 1, maxLength: 5 }).map((parts) =>
  parts
    .join('.')
    .slice(0, 253)
    .replace(/[^a-z0-9]$/, 'x'),
);

describe('names of members', () => {
  test('are chain, member and node', () => {
    expect(memberName('kubernetes', 'ilb', 'node-a.example')).toBe('kubernetes.ilb.node-a.example');
  });

  test('are always names that Kubernetes takes', () => {
    fc.assert(
      fc.property(label, label, subdomain, (chain, member, node) => {
        expect(isDnsSubdomain(memberName(chain, member, node))).toBe(true);
      }),
    );
  });

  test('stay different when they are cut', () => {
    const node = 'n'.repeat(250);
    const names = [
      memberName('a', 'b', `${node}x`),
      memberName('a', 'b', `${node}y`),
      memberName('a', 'c', `${node}x`),
    ];
    expect(new Set(names).size).toBe(3);
    expect(names.map((name) => name.length)).toEqual([253, 253, 253]);
  });

  test('differ for different chains, members and nodes', () => {
    fc.assert(
      fc.property(label, label, subdomain, label, label, subdomain, (c1, m1, n1, c2, m2, n2) => {
        const same = c1 === c2 && m1 === m2 && n1 === n2;
        expect(memberName(c1, m1, n1) === memberName(c2, m2, n2)).toBe(same);
      }),
    );
  });
});

test('label values fit in 63 characters and end with a letter or digit', () => {
  fc.assert(
    fc.property(subdomain, (node) => {
      const value = labelValue(node);
      expect(value.length).toBeLessThanOrEqual(63);
      expect(value).toMatch(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/);
      if (node.length <= 63) expect(value).toBe(node);
    }),
  );
});

test('names of tables keep the number of the slice, also when they are cut', () => {
  expect(tableName('service', 'default', 'web', 0)).toBe('service.default.web.0');
  expect(tableName('node', '', 'node-a', 3)).toBe('node.node-a.3');
  const long = tableName('service', 'n'.repeat(63), 's'.repeat(253), 12);
  expect(long.endsWith('.12')).toBe(true);
  expect(isDnsSubdomain(long)).toBe(true);
});

test('labels and subdomains are told apart', () => {
  expect(isDnsLabel('a.b')).toBe(false);
  expect(isDnsSubdomain('a.b')).toBe(true);
  expect(isDnsSubdomain('a..b')).toBe(false);
  expect(isDnsSubdomain('-a')).toBe(false);
  expect(isDnsLabel('a'.repeat(64))).toBe(false);
});

test('objects are called by kind, namespace and name', () => {
  expect(describeObject({ kind: 'Cube', metadata: { name: 'a', namespace: 'b' } })).toBe('Cube b/a');
  expect(describeObject({ kind: 'CubeNode', metadata: { name: 'a' } })).toBe('CubeNode a');
});
