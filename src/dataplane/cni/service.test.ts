// SPDX-License-Identifier: Apache-2.0
/** What stands between the socket and the verbs. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { NodeFacts } from '../node-facts.ts';
import { Afterwork } from './afterwork.ts';
import { Attachments } from './attachments.ts';
import { impossiblePlugins } from './chained.ts';
import { CONFLIST, renderConflist } from './conflist.ts';
import { KnownPods } from './known-pods.ts';
import { CniService } from './service.ts';
import { Turns } from './turns.ts';
import { answerText, type CniCall, readCall } from './wire.ts';

describe('the wire', () => {
  const fields = ['cubeplane-cni/1', 'ADD', 'c', '/n', 'eth0', 'a=b', '/p'];

  test('a request', () => {
    expect(readCall(Buffer.from(`${fields.join('\0')}\0{"ü":"\0"}`))).toEqual({
      command: 'ADD',
      containerId: 'c',
      netns: '/n',
      ifname: 'eth0',
      args: 'a=b',
      path: '/p',
      config: '{"ü":"\0"}',
    });
  });

  test.each(['', 'cubeplane-cni/1', fields.join('\0'), `cubeplane-cni/2\0${fields.slice(1).join('\0')}\0{}`])(
    'none: %j',
    (text) => {
      expect(readCall(Buffer.from(text))).toBeUndefined();
    },
  );

  test('an answer counts bytes', () => {
    expect(answerText({ status: 1, body: { a: 'ü' } })).toBe('1 11\n{"a":"ü"}\n');
    expect(answerText({ status: 0, body: undefined })).toBe('0 1\n\n');
  });
});

describe('turns', () => {
  test('one of a key at a time, different keys together, some alone, and failures hold nobody up', async () => {
    const turns = new Turns();
    const order: string[] = [];
    const work = (name: string, ms: number) => async () => {
      order.push(`+${name}`);
      await new Promise((resolve) => setTimeout(resolve, ms));
      order.push(`-${name}`);
      if (name === 'a1') throw new Error('no');
    };
    const all = [
      turns.ofKey('a', work('a1', 30)).catch(() => {}),
      turns.ofKey('a', work('a2', 1)),
      turns.ofKey('b', work('b', 1)),
      turns.alone(work('gc', 1)),
      turns.ofKey('b', work('b2', 1)),
    ];
    await Promise.all(all);
    await turns.idle();
    expect(order).toEqual(['+a1', '+b', '-b', '-a1', '+a2', '-a2', '+gc', '-gc', '+b2', '-b2']);
  });
});

describe('the configuration of the runtime', () => {
  test('names the plugin and the socket, for old runtimes and new ones', () => {
    expect(JSON.parse(renderConflist({ socket: '/run/cubeplane/cni.sock' }))).toEqual({
      cniVersion: '1.0.0',
      cniVersions: ['0.4.0', '1.0.0', '1.1.0'],
      name: 'cubeplane',
      plugins: [
        {
          type: 'cubeplane-cni',
          socket: '/run/cubeplane/cni.sock',
          capabilities: { portMappings: true, bandwidth: true },
        },
      ],
    });
    expect(CONFLIST).toMatch(/^0.*\.conflist$/);
  });

  test.each([
    [{ name: 'net', plugins: [{ type: 'cubeplane-cni' }, { type: 'portmap' }] }, ['portmap']],
    [{ name: 'net', plugins: [{ type: 'bandwidth' }, { type: 'cubeplane-cni' }] }, ['bandwidth']],
    [{ name: 'net', plugins: [{ type: 'cubeplane-cni' }, { type: 'tuning' }] }, []],
    [{ name: 'other', plugins: [{ type: 'cubeplane-cni' }, { type: 'portmap' }] }, []],
    [{ name: 'net', plugins: [{ type: 'bridge' }, { type: 'portmap' }] }, []],
    [{ name: 'net', plugins: [null, 7, { type: 'cubeplane-cni' }] }, []],
    [{ name: 'net', plugins: 'x' }, []],
    [undefined, []],
  ])('%j cannot work with %j', (list, expected) => {
    expect(impossiblePlugins(list, 'net')).toEqual(expected);
  });
});

describe('calls', () => {
  let folder: string;
  let facts: NodeFacts;
  let service: CniService;
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const never = async () => {
    throw new Error('the kernel was touched');
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cubeplane-service-'));
    facts = {
      isSynced: true,
      podCIDRs: ['10.1.0.0/24'],
      portAddresses: ['10.1.0.1/24'],
      mtu: { device: 1500, route: 1450 },
      notReady: undefined,
      servesPods: true,
      isProgrammed: true,
      servesNodePorts: true,
      servesLimits: false,
    };
    const attachments = new Attachments(folder);
    attachments.load(() => {});
    const agent = {
      plug: never,
      unplug: never,
      followDevice: never,
      plan: async () => [],
      pods: () => [],
      about: async () => undefined,
      policyAddresses: () => new Set<string>(),
      inspect: never,
      get facts() {
        return facts;
      },
    };
    const known = new KnownPods(folder);
    service = new CniService({
      agent,
      afterwork: new Afterwork(agent, log),
      attachments,
      known,
      log,
      confDir: folder,
      ranges: () => facts.podCIDRs,
    });
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const call = async (command: string, members: object = {}, more: Partial<CniCall> = {}) => {
    const config = JSON.stringify({ cniVersion: '1.1.0', name: 'net', ...members });
    const base = {
      command,
      containerId: 'c',
      netns: '/run/netns/none',
      ifname: 'eth0',
      args: '',
      path: '',
      config,
    };
    return await service.answer({ ...base, ...more }, async () => true);
  };

  test('STATUS of a node that works says nothing', async () => {
    expect(await call('STATUS')).toEqual({ status: 0, body: undefined });
  });

  test.each([
    ['a node whose chain is not there', { notReady: 'no chain', servesPods: false }, 51, 'no chain'],
    [
      'a node with a chain that fails',
      { notReady: 'it failed', servesPods: true, hasPolicies: false },
      50,
      'it failed',
    ],
    ['a node without ranges', { podCIDRs: [] }, 50, 'spec.podCIDRs'],
  ])('STATUS of %s', async (_, members, code, message) => {
    facts = { ...facts, ...members };
    expect(await call('STATUS')).toMatchObject({
      status: 1,
      body: { code, msg: expect.stringContaining(message) },
    });
  });

  test('ADD waits for the chain, and needs a namespace', async () => {
    expect(await call('ADD')).toMatchObject({ body: { code: 4, msg: expect.stringContaining('CNI_NETNS') } });
    facts = { ...facts, notReady: 'not yet' };
    expect(await call('ADD', {}, { netns: '/proc/self/ns/net' })).toMatchObject({
      body: { code: 4, msg: expect.stringContaining('own network namespace') },
    });
  });

  test('ADD and STATUS name a plugin that cannot work behind ours', async () => {
    const list = { name: 'net', plugins: [{ type: 'cubeplane-cni' }, { type: 'portmap' }] };
    writeFileSync(join(folder, '10-net.conflist'), JSON.stringify(list));
    writeFileSync(join(folder, '11-broken.conflist'), '{');
    for (const command of ['ADD', 'STATUS'])
      expect(await call(command)).toMatchObject({
        status: 1,
        body: { code: 7, msg: expect.stringContaining('10-net.conflist has the plugin portmap') },
      });
  });

  test('CHECK of nobody is an unknown container', async () => {
    expect(await call('CHECK', { prevResult: {} })).toMatchObject({ status: 1, body: { code: 3 } });
  });

  test('an error is told in the version that was asked in, or the newest', async () => {
    expect(await call('ADD', { cniVersion: '0.4.0' })).toMatchObject({ body: { cniVersion: '0.4.0' } });
    expect(await call('ADD', { cniVersion: '9' })).toMatchObject({ body: { cniVersion: '1.1.0', code: 1 } });
    expect(await call('ADD', {}, { config: '{' })).toMatchObject({ body: { cniVersion: '1.1.0', code: 6 } });
  });
});
