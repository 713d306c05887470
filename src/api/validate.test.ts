// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import { fixtures } from '../../test/fixtures/manifests.ts';
import { mutations } from '../../test/fixtures/mutations.ts';
import { RULES } from './generated/rules.js';
import type { CubeplaneObject } from './generated/types.ts';
import { KINDS } from './group.ts';
import { notSupported } from './not-supported.ts';
import { validate } from './validate.ts';

const valid = fixtures('valid');
const invalid = fixtures('invalid');
const unsupported = fixtures('not-supported');

function accepted(manifest: unknown): CubeplaneObject {
  const result = validate(manifest);
  if (!result.ok) throw new Error(result.message);
  return result.object;
}

describe('a good manifest', () => {
  test.each(valid)('$name is accepted and supported', ({ manifest }) => {
    const before = structuredClone(manifest);
    expect(notSupported(accepted(manifest))).toEqual([]);
    expect(manifest).toEqual(before);
  });

  test.each([...valid, ...unsupported])('$name is the same after a second validation', ({ manifest }) => {
    const once = accepted(manifest);
    expect(accepted(once)).toEqual(once);
    expect(validate(once, once).ok).toBe(true);
  });

  test('gets its defaults', () => {
    const cube = accepted({
      apiVersion: 'cubeplane.io/v1alpha1',
      kind: 'Cube',
      metadata: { name: 'lb' },
      spec: { nodeName: 'node-a', type: 'LoadBalancer', loadBalancer: {} },
    });
    expect(cube.metadata.namespace).toBe('default');
    expect(cube.spec).toMatchObject({
      hook: 'TC',
      loadBalancer: {
        algorithm: 'Random',
        scopes: ['ClusterIP', 'External', 'LoadBalancer', 'NodePort'],
        noBackends: 'Reject',
        drainSeconds: 60,
        udpDrainSeconds: 0,
        sessions: { timeouts: { tcpEstablished: 86400 } },
      },
    });
  });
});

describe('a broken manifest', () => {
  test('there are at least 30 of them, with at least 30 reasons and fields', () => {
    expect(invalid.length).toBeGreaterThanOrEqual(30);
    expect(new Set(invalid.map(({ reason, field }) => `${reason} ${field}`)).size).toBeGreaterThanOrEqual(30);
  });

  test.each(invalid)('$name: $reason at $field', ({ manifest, reason, field, old }) => {
    const before = valid.find(({ name }) => name === old);
    if (old !== undefined && !before) throw new Error(`there is no valid/${old}.yaml`);
    const result = validate(manifest, before && accepted(before.manifest));
    if (result.ok) throw new Error('it was accepted');
    expect({ reason: result.reason, field: result.field }).toEqual({ reason, field });
    const [first] = result.failures;
    expect(first?.problem).toMatch(/\S/);
    expect(first?.remedy).toMatch(/\S/);
    expect(result.message).toContain(`${first?.problem}; ${first?.remedy}`);
    expect(result.message).toContain(field);
    const name = (manifest as { metadata?: { name?: string } }).metadata?.name;
    if (name) expect(result.message).toContain(name);
  });

  test('every rule of every kind has a fixture that breaks it', () => {
    const broken = new Set(invalid.map(({ reason }) => reason));
    const rules = new Set(KINDS.flatMap((kind) => RULES[kind].map(({ id }) => id)));
    expect([...rules].filter((id) => !broken.has(id))).toEqual([]);
  });
});

test('no change of a good manifest makes it throw, and a refusal is complete', () => {
  const all = [...valid, ...unsupported].map(({ manifest }) => manifest);
  for (const { manifest } of mutations(all, 3000, 7)) {
    const result = validate(manifest);
    if (result.ok) notSupported(result.object);
    else
      for (const { reason, problem, remedy } of result.failures)
        expect([reason, problem, remedy]).not.toContain('');
  }
});

describe('what this release does not do', () => {
  test.each(unsupported)('$name is named at $field', ({ manifest, field }) => {
    const found = notSupported(accepted(manifest));
    expect(found.map((item) => item.field)).toEqual([field]);
    expect(found[0]).toMatchObject({ reason: 'NotSupported' });
    expect(found[0]?.message).toMatch(/\S/);
    expect(found[0]?.remedy).toMatch(/\S/);
  });
});
