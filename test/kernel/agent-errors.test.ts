// SPDX-License-Identifier: Apache-2.0

import { cp, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Pod } from '../harness/topology.ts';
import { type AgentClient, RemoteError, type Settled } from './support/agent-client.ts';
import { AgentLab, plugRequest } from './support/agent-lab.ts';
import { at, cube, cubeNode, hubChain, link, NODE, pods, table } from './support/agent-objects.ts';

const OBJECTS = new URL('../../build/bpf', import.meta.url).pathname;

let lab: AgentLab;
let agent: AgentClient;

beforeAll(async () => {
  lab = await AgentLab.open('agent errors test');
}, 120_000);

afterAll(async () => {
  await lab?.close();
}, 120_000);

beforeEach(async () => {
  agent?.child.kill('SIGKILL');
  await lab.wipe();
});

async function settle(
  objects: ReturnType<typeof hubChain>,
  env: Record<string, string> = {},
  wrap: string[] = [],
): Promise<Settled> {
  agent = await lab.start(env, wrap);
  await agent.ask('set', { objects: [...objects, cubeNode()] });
  await agent.ask('synced');
  return await agent.ask<Settled>('settled');
}

function conditionOf(settled: Settled, ref: string, type: string) {
  return settled.statuses[ref].conditions.find((c: { type: string }) => c.type === type);
}

describe('what the kernel refuses is said in words', () => {
  test('no BPF file system', async () => {
    const plain = join(lab.root, 'plain');
    await mkdir(plain, { recursive: true });
    const { health } = await settle(hubChain(), { BPFFS: plain });
    expect(health.failure).toEqual({
      reason: 'BpffsNotMounted',
      message: `${plain} is not on a BPF file system; mount it: mount -t bpf bpf ${plain}`,
    });
  });

  test('no permission', async () => {
    const settled = await settle(hubChain(), {}, [
      'setpriv',
      '--bounding-set',
      '-bpf,-sys_admin,-perfmon',
      '--inh-caps',
      '-bpf,-sys_admin,-perfmon',
    ]);
    expect(settled.health.failure?.reason).toBe('NotPermitted');
    expect(settled.health.failure?.message).toContain('CAP_BPF');
    expect(conditionOf(settled, 'Cube cubeplane-system/hub', 'Programmed')).toMatchObject({
      status: 'False',
      reason: 'NotPermitted',
    });
  });

  test('a program that the verifier refuses keeps out its cube, not the others', async () => {
    const objects = join(lab.root, 'objects');
    await rm(objects, { recursive: true, force: true });
    await mkdir(objects);
    for (const name of ['tcx.o', 'inject.o', 'turn.o']) await cp(join(OBJECTS, name), join(objects, name));
    const healthy = await settle([cube('hub', { outPorts: [0] }), link('pods', [pods, at('hub', 'in')])], {
      OBJECTS: objects,
    });
    expect(healthy.health.failure).toBeUndefined();
    const before = lab.pins();
    await agent.kill();
    await cp(join(OBJECTS, 'turn_refused.o'), join(objects, 'turn.o'));
    const settled = await settle([cube('hub', { outPorts: [0] }), link('pods', [pods, at('hub', 'in')])], {
      OBJECTS: objects,
    });
    const programmed = conditionOf(settled, 'Cube cubeplane-system/hub', 'Programmed');
    expect(programmed).toMatchObject({ status: 'False', reason: 'ProgramRefused' });
    const path = /the verifier's log is in (\S+);/.exec(programmed.message)?.[1] ?? '';
    expect(await readFile(path, 'utf8')).toMatch(/R\d invalid mem access/);
    expect([...lab.pins().keys()].filter((name) => name.endsWith('/program'))).toEqual(
      [...before.keys()].filter((name) => name.endsWith('/program')),
    );
  });

  test('a map that is full names the field, and the rows that were there stay', async () => {
    const small = [cube('hub', { outPorts: [0], maxRows: 4 }), link('pods', [pods, at('hub', 'in')])];
    const fine = await settle([...small, table('some', { 1: 1, 2: 2 })]);
    expect(fine.health.failure).toBeUndefined();
    const full = await agent.set([table('more', { 3: 3, 4: 4, 5: 5, 6: 6, 7: 7 })]);
    const programmed = conditionOf(full, 'Cube cubeplane-system/hub', 'Programmed');
    expect(programmed).toMatchObject({ status: 'False', reason: 'MapFull' });
    expect(programmed.message).toContain('map rows is full');
    const again = await agent.set([], [['CubeTable', 'cubeplane-system', 'more']]);
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(again.statuses).toBeDefined();
    const end = await agent.ask<Settled>('settled');
    expect(conditionOf(end, 'Cube cubeplane-system/hub', 'Programmed')).toMatchObject({ status: 'True' });
  });

  test('an object file that is missing', async () => {
    const objects = join(lab.root, 'few');
    await mkdir(objects, { recursive: true });
    await cp(join(OBJECTS, 'tcx.o'), join(objects, 'tcx.o'));
    const settled = await settle(hubChain(), { OBJECTS: objects });
    expect(conditionOf(settled, 'Cube cubeplane-system/hub', 'Programmed').message).toContain(
      'object file turn.o cannot be opened',
    );
  });

  test('pins of a newer agent', async () => {
    await mkdir(join(lab.bpffs, 'cubeplane', NODE, 'v2'), { recursive: true });
    const { health } = await settle(hubChain());
    expect(health.failure?.reason).toBe('AbiMismatch');
    expect(health.failure?.message).toContain('holds pins of cube ABI 2, and this agent speaks 1');
  });
});

describe('a pod is not plugged', () => {
  let one: Pod;
  let two: Pod;

  async function refused(request: object): Promise<RemoteError> {
    const before = lab.pins();
    const error = await agent.ask('plug', { request }).then(
      () => undefined,
      (failure: unknown) => failure,
    );
    expect(error).toBeInstanceOf(RemoteError);
    expect(lab.pins()).toEqual(before);
    return error as RemoteError;
  }

  beforeEach(async () => {
    await settle(hubChain());
    await agent.ask('set', {
      objects: [
        {
          kind: 'Node',
          metadata: { name: NODE, uid: 'n', generation: 1 },
          spec: { podCIDRs: ['10.244.1.0/24', 'fd00:244:1::/64'] },
        },
      ],
    });
    await agent.ask('settled');
    one ??= await lab.pod('one', 2);
    two ??= await lab.pod('two', 3);
    await agent.ask('plug', { request: plugRequest(one) });
  });

  test.each([
    [
      'an address of another pod',
      { addresses: ['10.244.1.2'] },
      'AddressInUse',
      '10.244.1.2 belongs to pod default/one',
    ],
    [
      'the interface of another pod',
      { interface: 'veth1' },
      'InterfaceInUse',
      'interface veth1 belongs to pod default/one',
    ],
    [
      'an address outside the range of the node',
      { addresses: ['10.9.9.9'] },
      'AddressNotOfNode',
      '10.9.9.9 is not in the pod range',
    ],
    ['an address that is none', { addresses: ['10.244.1'] }, 'InvalidRequest', '10.244.1 is no IP address'],
    ['no address', { addresses: [] }, 'InvalidRequest', '0 addresses'],
    ['an interface that is not there', { interface: 'veth9' }, 'InterfaceNotFound', 'has no interface veth9'],
    [
      'a network namespace that is not there',
      { netns: '/run/netns/none' },
      'NamespaceNotFound',
      '/run/netns/none',
    ],
    [
      'a device inside that is not there',
      { podInterface: 'eth7' },
      'InterfaceNotFound',
      'has no interface eth7',
    ],
    ['another MAC than its own', { mac: '02:00:00:00:00:99' }, 'InvalidRequest', 'not 02:00:00:00:00:99'],
    ['a name that is none', { name: 'A b' }, 'InvalidRequest', 'name'],
  ])('with %s', async (_, change, code, message) => {
    const error = await refused({ ...plugRequest(two), ...change });
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
  });

  test('unless all is well, and then it is unplugged again, twice if need be', async () => {
    await agent.ask('plug', { request: plugRequest(two) });
    expect([...lab.pins().keys()].filter((path) => path.includes('/links/'))).toHaveLength(2);
    expect(await agent.ask('unplug', { namespace: 'default', name: 'two' })).toBe(true);
    expect(await agent.ask('unplug', { namespace: 'default', name: 'two' })).toBe(false);
    expect([...lab.pins().keys()].filter((path) => path.includes('/links/'))).toHaveLength(1);
  });
});
