// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { PodRecord } from '../pod-record.ts';
import type { Attachment } from './attachment.ts';
import { KnownPods } from './known-pods.ts';

let folder: string;
const problems: string[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cubeplane-known-'));
  problems.length = 0;
});
afterEach(() => rmSync(folder, { recursive: true }));

function open(): KnownPods {
  const known = new KnownPods(folder);
  known.load((problem) => problems.push(problem));
  return known;
}

const attachment = (name: string, more: Partial<Attachment> = {}): Attachment => ({
  phase: 'Ready',
  network: 'net',
  containerId: name,
  ifname: 'eth0',
  netns: '/run/netns/x',
  device: 'cp1',
  mac: '02:00:00:00:00:01',
  addresses: [`10.1.0.${name.length}`],
  gateways: [],
  mtu: { device: 1500, route: 1450 },
  pod: { namespace: 'shop', name },
  uid: `uid of ${name}`,
  createdAt: 0,
  ...more,
});
const about = { pod: { metadata: { name: 'web' } }, namespace: { metadata: { name: 'shop' } } };
const record: PodRecord = { namespace: 'shop', name: 'web', interface: 'cp1', mac: '', addresses: [], about };

test('pods that had a network are known by name and UID, also to the next agent, until the source is heard', () => {
  open().remember(
    [
      attachment('web'),
      attachment('half', { phase: 'Making' }),
      attachment('older', { phase: 'Removing' }),
      (({ uid: _, ...rest }) => rest)(attachment('nameless')),
    ],
    [record],
  );
  open().remember([attachment('other')], []);
  const known = open();
  const web = { namespace: 'shop', name: 'web', uid: 'uid of web', addresses: ['10.1.0.3'] };
  expect(known.find('shop', 'web', 'uid of web')).toEqual({ ...web, about: { ...about, isRecorded: true } });
  expect(known.find('shop', 'web', 'another')).toBeUndefined();
  expect(known.find('shop', 'half', 'uid of half')).toBeUndefined();
  expect(known.find('shop', 'nameless', undefined)).toBeUndefined();
  expect(known.find('shop', 'other', 'uid of other')?.about).toBeUndefined();
  expect(known.addresses()).toEqual(['10.1.0.3', '10.1.0.5']);
  known.clear();
  expect([known.addresses(), open().addresses(), readdirSync(join(folder, 'cni'))]).toEqual([[], [], []]);
});

test('a file that cannot be read is told of', () => {
  open().remember([attachment('web')], []);
  writeFileSync(join(folder, 'cni', 'known.json'), '{');
  expect(open().addresses()).toEqual([]);
  expect(problems).toHaveLength(1);
});
