// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { NodeObject } from '../objects.ts';
import { NodeFile } from './node-file.ts';

let folder: string;
const said: string[] = [];
const say = (_: object, message: string) => void said.push(message);
const log = { debug() {}, info() {}, warn: say, error: say };
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'node-file-'));
  said.length = 0;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const path = () => join(folder, 'node.json');
const node: NodeObject = {
  metadata: { name: 'node-a', uid: 'u', generation: 1, labels: { zone: 'z' }, annotations: { long: 'x' } },
  spec: { podCIDRs: ['10.244.1.0/24', 'fd00:244:0:1::/64'], taints: [{ key: 'k' }] },
  status: { addresses: [{ type: 'InternalIP', address: '198.18.0.11' }] },
};

test('the node comes back as the agent looks at it, and is written when that changes', () => {
  const one = new NodeFile(path(), log);
  expect(one.load()).toBeUndefined();
  one.save(node);
  const { ino } = statSync(path());
  const { annotations: _, ...metadata } = node.metadata;
  expect(new NodeFile(path(), log).load()).toEqual({ ...node, metadata });
  const next = new NodeFile(path(), log);
  next.load();
  next.save({ ...node, metadata: { ...node.metadata, annotations: { long: 'y' } } });
  next.save(undefined);
  expect(statSync(path()).ino).toBe(ino);
  next.save({ ...node, spec: { podCIDR: '10.244.2.0/24' } });
  expect(new NodeFile(path(), log).load()?.spec).toEqual({ podCIDR: '10.244.2.0/24' });
});

test('a file that cannot be read or written is said, and harms nobody', () => {
  writeFileSync(path(), '{');
  expect(new NodeFile(path(), log).load()).toBeUndefined();
  new NodeFile(join(path(), 'below'), log).save(node);
  expect(said).toEqual([
    'the Node object is not known before the source is heard',
    'the Node object was not saved',
  ]);
});
