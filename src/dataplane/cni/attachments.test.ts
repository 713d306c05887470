// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { isPodDevice } from '../names.ts';
import { type Attachment, deviceOf, fileOf, keyOf, macOf, podNameOf } from './attachment.ts';
import { Attachments } from './attachments.ts';
import { isLost } from './recover.ts';
import { resultOf } from './result.ts';
import { SUPPORTED_VERSIONS } from './versions.ts';

function attachment(id: string, addresses: readonly string[], createdAt = 0): Attachment {
  const key = `${id}/eth0`;
  return {
    phase: 'Ready',
    network: 'net',
    containerId: id,
    ifname: 'eth0',
    netns: `/run/netns/${id}`,
    device: deviceOf(key),
    mac: macOf(key),
    addresses,
    gateways: ['10.1.0.1', 'fd00::1'],
    mtu: { device: 1500, route: 1450 },
    pod: { namespace: 'cni', name: id },
    createdAt,
  };
}

describe('on disk', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cubeplane-attachments-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function open(problems: string[] = []): Attachments {
    const store = new Attachments(folder);
    store.load((message) => problems.push(message));
    return store;
  }

  test('what is written is there for the next agent, with what was given last and released', () => {
    const store = open();
    store.put(attachment('b', ['10.1.0.3', 'fd00::3'], 2));
    store.put(attachment('a', ['10.1.0.2', 'fd00::2'], 1));
    store.put(attachment('c', ['10.1.0.4'], 3));
    store.remove('c/eth0', 1000);
    store.flush();
    const next = open();
    expect(next.values().map(keyOf).sort()).toEqual(['a/eth0', 'b/eth0']);
    expect(next.addresses().sort()).toEqual(['10.1.0.2', '10.1.0.3', 'fd00::2', 'fd00::3']);
    expect([next.lastAddress(false), next.lastAddress(true)]).toEqual(['10.1.0.3', 'fd00::3']);
    expect([...next.released(2000)]).toEqual([['10.1.0.4', 1000]]);
    expect([...next.released(10_000_000)]).toEqual([]);
  });

  test('one that was being made when the agent ended is being made for the next one, which may remove it', () => {
    const made = attachment('a', ['10.1.0.2']);
    open().put({ ...made, phase: 'Making' });
    const next = open();
    expect(next.values()).toEqual([{ ...made, phase: 'Making' }]);
    next.put({ ...made, phase: 'Removing' });
    expect(open().values()).toEqual([{ ...made, phase: 'Removing' }]);
    next.remove('a/eth0', 5);
    expect(readdirSync(join(folder, 'cni/attachments'))).toEqual([]);
  });

  test('one that is made has one file', () => {
    const store = open();
    const made = attachment('a', ['10.1.0.2']);
    store.put({ ...made, phase: 'Making' });
    store.put(made);
    expect(readdirSync(join(folder, 'cni/attachments'))).toEqual([fileOf('a/eth0')]);
    expect(open().values()).toEqual([made]);
  });

  test('a broken file is told of and left, a half-written one goes, the others are read', () => {
    open().put(attachment('a', ['10.1.0.2']));
    writeFileSync(join(folder, 'cni/attachments/broken.json'), '{');
    writeFileSync(join(folder, 'cni/attachments/half.json.tmp'), '{');
    const others = ['{}', 'null', '[]', JSON.stringify({ ...attachment('x', []), device: 'eth0' })];
    for (const [i, text] of others.entries())
      writeFileSync(join(folder, `cni/attachments/other${i}.json`), text);
    const problems: string[] = [];
    expect(open(problems).values()).toHaveLength(1);
    expect(problems.sort()).toEqual([
      expect.stringContaining('broken.json'),
      ...others.map((_, i) => expect.stringContaining(`other${i}.json holds no interface`)),
    ]);
    expect(readdirSync(join(folder, 'cni/attachments'))).toHaveLength(6);
  });

  test('what the disk refuses has not happened, and what goes goes without it', () => {
    const store = open();
    store.put(attachment('a', ['10.1.0.2']));
    // Folders in the place of files: nothing can be written to them or renamed onto them, also by root.
    mkdirSync(join(folder, 'cni/attachments', `${fileOf('a/eth0')}.tmp`));
    mkdirSync(join(folder, 'cni/attachments', fileOf('b/eth0')));
    mkdirSync(join(folder, 'cni/released.json.tmp'));
    expect(() => store.put(attachment('b', ['10.1.0.3']))).toThrow();
    expect(store.addresses()).toEqual(['10.1.0.2']);
    expect(() => store.put({ ...attachment('a', ['10.1.0.2']), phase: 'Removing' })).toThrow();
    expect(store.get('a/eth0')?.phase).toBe('Ready');
    store.remove('a/eth0', 5);
    store.flush();
    expect(store.addresses()).toEqual([]);
    expect([...store.released(6)]).toEqual([['10.1.0.2', 5]]);
  });

  test('removing what is not there is nothing', () => {
    const store = open();
    store.remove('nobody/eth0', 0);
    expect(store.values()).toEqual([]);
  });
});

describe('names', () => {
  test('follow from container and interface', () => {
    expect(deviceOf('a/eth0')).toBe(deviceOf('a/eth0'));
    expect(deviceOf('a/eth0')).not.toBe(deviceOf('a/eth1'));
    expect(deviceOf('a/eth0')).toHaveLength(15);
    expect(isPodDevice(deviceOf('a/eth0'))).toBe(true);
    expect(isPodDevice('cpl-1234')).toBe(false);
    expect(macOf('a/eth0')).toMatch(/^02(:[0-9a-f]{2}){5}$/);
  });

  const target = (containerId: string, args: Record<string, string> = {}) => ({
    containerId,
    ifname: 'eth0',
    netns: '/n',
    args: new Map(Object.entries(args)),
  });
  const pod = { K8S_POD_NAMESPACE: 'default', K8S_POD_NAME: 'web-0' };

  test('a pod has its own, a second sandbox of it a longer one, and a container its identifier', () => {
    const plain = { namespace: 'default', name: 'web-0' };
    expect(podNameOf(target('a', pod), [])).toEqual(plain);
    const there = { ...plain, interface: 'veth1', mac: '', addresses: [] };
    expect(podNameOf(target('b', pod), [there])).toEqual({
      namespace: 'default',
      name: expect.stringMatching(/^web-0\.[0-9a-f]{10}$/),
    });
    expect(podNameOf(target('cnitool-77'), [])).toEqual({ namespace: 'cni', name: 'cnitool-77' });
    expect(podNameOf(target('ABC_x'), [])).toEqual({
      namespace: 'cni',
      name: expect.stringMatching(/^container-[0-9a-f]{10}$/),
    });
    expect(podNameOf(target('a', { ...pod, K8S_POD_NAME: '../x' }), []).namespace).toBe('cni');
  });
});

test('a start takes away what was half made, and what has lost device and namespace', () => {
  const one = attachment('a', ['10.1.0.2']);
  const devices = new Set([one.device]);
  const yes = () => true;
  const no = () => false;
  expect(isLost(one, devices, yes)).toBe(false);
  expect(isLost(one, devices, no)).toBe(false);
  expect(isLost(one, new Set(), yes)).toBe(false);
  expect(isLost(one, new Set(), no)).toBe(true);
  expect(isLost({ ...one, phase: 'Making' }, devices, yes)).toBe(true);
  expect(isLost({ ...one, phase: 'Removing' }, devices, yes)).toBe(true);
});

test.each(SUPPORTED_VERSIONS)('the result in version %s', (version) => {
  const one = attachment('a', ['10.1.0.2', 'fd00::2']);
  const result = resultOf(one, version, { nameservers: ['10.96.0.10'] });
  const old = version < '1';
  const mtu = version === '1.1.0';
  expect(result).toEqual({
    cniVersion: version,
    interfaces: [
      { name: one.device, mac: '02:c0:be:00:00:01', ...(mtu ? { mtu: 1500 } : {}) },
      { name: 'eth0', mac: one.mac, sandbox: '/run/netns/a', ...(mtu ? { mtu: 1500 } : {}) },
    ],
    ips: [
      { ...(old ? { version: '4' } : {}), interface: 1, address: '10.1.0.2/32', gateway: '10.1.0.1' },
      { ...(old ? { version: '6' } : {}), interface: 1, address: 'fd00::2/128', gateway: 'fd00::1' },
    ],
    routes: [
      { dst: '0.0.0.0/0', gw: '10.1.0.1', ...(mtu ? { mtu: 1450 } : {}) },
      { dst: '::/0', gw: 'fd00::1', ...(mtu ? { mtu: 1450 } : {}) },
    ],
    dns: { nameservers: ['10.96.0.10'] },
  });
});
