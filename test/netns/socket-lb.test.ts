// SPDX-License-Identifier: Apache-2.0
/** A chain with a SocketLB on two nodes: processes of a node reach services whose backends are pods here and there, and nodes. */
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { CgroupLink, loadObject } from '../../src/dataplane/kernel/addon/index.ts';
import { Caller, type Place, type Proto } from '../harness/calls.ts';
import type { Node, Pod } from '../harness/topology.ts';
import { startServer } from '../harness/traffic.ts';
import { until } from '../harness/until.ts';
import { vipsOf } from './support/manifests.ts';
import { named, PORT, TARGET } from './support/services.ts';
import { conditionOf, FAMILIES, openTwoNodes, SYSTEM, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(180_000);

type Family = (typeof FAMILIES)[number];
const PROTOS = ['tcp', 'udp'] as const;
const NUMBER = { near: 10, far: 11, host: 12, other: 13, none: 14 } as const;

let lab: TwoNodes;
let near: Pod;
let far: Pod;
let caller: Caller;

// biome-ignore lint/suspicious/noExplicitAny: any field of the sample is changed
function withSockets(chain: any): void {
  const { spec } = chain;
  delete spec.path;
  const at = (name: string, port: string) => ({ type: 'Cube', cube: { name, port } });
  spec.links = [
    { name: 'pods', endpoints: [{ type: 'Pods' }, at('ilb', 'pods')] },
    { name: 'ilb', endpoints: [at('ilb', 'server'), at('router', 'pods')] },
    { name: 'overlay', endpoints: [at('router', 'overlay'), { type: 'Overlay' }] },
    { name: 'host', endpoints: [at('router', 'host'), { type: 'Stack' }] },
  ];
  spec.cubes[1].router.routes = [
    { destination: '0.0.0.0/0', type: 'Port', port: 'host' },
    { destination: '::/0', type: 'Port', port: 'host' },
  ];
  spec.cubes.push({
    name: 'sockets',
    type: 'SocketLB',
    hook: 'Cgroup',
    socketLB: {},
    tables: [{ type: 'Service' }],
  });
}

/** A process of the node itself, in the place of a pod with hostNetwork. */
const asPod = (node: Node): Pod => ({ name: node.name, node, addresses: node.addresses }) as unknown as Pod;

/** Asks once with a new socket: who answered, and who the process thinks that was. */
async function ask(proto: Proto, to: Place): Promise<{ error: string | null; text?: string; peer?: Place }> {
  const id = await caller.open(proto, to[0].includes(':') ? 6 : 4);
  try {
    const error = await caller.connect(id, to);
    if (error !== null) return { error };
    const peer = await caller.peer(id);
    await caller.send(id);
    const { error: failure, text = '' } = await caller.receive(id);
    return { error: failure, text: text.trim(), ...(peer && { peer }) };
  } finally {
    await caller.closeSocket(id);
  }
}

const place = (number: number, family: Family): Place => [vipsOf(number)[family], PORT];

beforeAll(async () => {
  lab = await openTwoNodes('socket load balancer', { chain: withSockets });
  near = await lab.addPod(0, 'near', 11);
  far = await lab.addPod(1, 'far', 11);
  const nodes = lab.workers.map(({ node }) => node);
  for (const { name, namespace } of [near, far, ...nodes]) await startServer(namespace, name, TARGET);
  const [here, there] = nodes.map(asPod) as [Pod, Pod];
  lab.writeService({ name: 'near', number: NUMBER.near, ports: named, backends: [near] });
  lab.writeService({ name: 'far', number: NUMBER.far, ports: named, backends: [far] });
  lab.writeService({ name: 'host', number: NUMBER.host, ports: named, backends: [here] });
  lab.writeService({ name: 'other', number: NUMBER.other, ports: named, backends: [there] });
  lab.writeService({ name: 'none', number: NUMBER.none, ports: named, backends: [] });
  caller = Caller.start(lab.worker(0).node.namespace);
  const { counters } = lab.worker(0);
  const sockets = `${SYSTEM}/kubernetes.sockets.node-a`;
  await until('20 frontends', async () => (await counters.rows(sockets, 'frontends')) === 20);
});

afterAll(async () => {
  await lab?.close();
});

describe.each(FAMILIES)('%s', (family) => {
  describe.each(PROTOS)('%s', (proto) => {
    test('a process of the node reaches a pod here, one on another node, and both nodes themselves', async () => {
      const answered: Record<string, string> = {};
      for (const name of ['near', 'far', 'host', 'other'] as const) {
        const to = place(NUMBER[name], family);
        const { error, text = '', peer } = await ask(proto, to);
        expect([name, error, peer]).toEqual([name, null, to]);
        answered[name] = text.split(/[\s,]/)[0] ?? '';
      }
      expect(answered).toEqual({ near: 'near', far: 'far', host: 'node-a', other: 'node-b' });
      expect((await ask(proto, place(NUMBER.none, family))).error).toBe('ECONNREFUSED');
    });
  });

  test('a UDP socket that is not connected hears the service, and moves on when its backend is scaled away', async () => {
    const { writeService } = lab;
    const scale = (backends: readonly Pod[]) =>
      writeService.call(lab, { name: 'far', number: NUMBER.far, ports: named, backends });
    const id = await caller.open('udp', family === 'ipv6' ? 6 : 4);
    const to = place(NUMBER.far, family);
    const exchange = async () => {
      expect(await caller.send(id, to)).toBeNull();
      const { text = '', from } = await caller.receive(id);
      expect(from).toEqual(to);
      return text.split(/[\s,]/)[0];
    };
    expect(await exchange()).toBe('far');
    scale([near]);
    await until('another backend', async () => (await exchange()) === 'near');
    scale([far]);
    await until('the first backend', async () => (await ask('udp', to)).text?.startsWith('far') === true);
    await caller.closeSocket(id);
  });
});

describe.each(FAMILIES)('%s: a connected UDP socket whose backend is gone', (family) => {
  const kind = family === 'ipv6' ? 6 : 4;
  const scale = (backends: readonly Pod[]) =>
    lab.writeService({ name: 'far', number: NUMBER.far, ports: named, backends });

  async function connected(by: Caller, proto: Proto, to: Place): Promise<number> {
    const id = await by.open(proto, kind);
    expect(await by.connect(id, to)).toBeNull();
    expect(await heard(by, id)).toBeTruthy();
    return id;
  }

  /** Who answers. */
  async function heard(by: Caller, id: number): Promise<string | undefined> {
    expect(await by.send(id)).toBeNull();
    const { error, text = '' } = await by.receive(id);
    expect(error).toBeNull();
    return text.split(/[\s,]/)[0];
  }

  afterEach(async () => {
    scale([far]);
    await until(
      'the first backend',
      async () => (await ask('udp', place(NUMBER.far, family))).text?.startsWith('far') === true,
    );
  });

  test('is ended, and its process connects again; all other sockets go on', async () => {
    const waiting = Caller.start(lab.worker(0).node.namespace);
    const to = place(NUMBER.far, family);
    const lost = await connected(waiting, 'udp', to);
    const others = [
      await connected(caller, 'udp', place(NUMBER.near, family)),
      await connected(caller, 'udp', [far.addresses[family] ?? '', TARGET]),
      await connected(caller, 'tcp', to),
    ];
    const moved = await connected(caller, 'udp', to);
    expect(await caller.connect(moved, [far.addresses[family] ?? '', TARGET])).toBeNull();
    const end = waiting.receive(lost); // it sleeps in the call
    const began = Date.now();
    scale([near]);
    expect((await end).error).toBe('ECONNABORTED');
    lab.lab.log(`a connected UDP socket is ended ${Date.now() - began} ms after its backend is gone`);
    expect(await waiting.connect(lost, to)).toBeNull();
    expect(await heard(waiting, lost)).toBe('near');
    expect(await Promise.all([...others, moved].map((id) => heard(caller, id)))).toEqual([
      'near',
      'far',
      'far',
      'far',
    ]);
    for (const id of [...others, moved]) await caller.closeSocket(id);
    waiting.close();
  });

  test('is ended by the agent that starts, where none ran when the backend went', async () => {
    const { agent } = lab.worker(0);
    const id = await connected(caller, 'udp', place(NUMBER.far, family));
    await agent.kill();
    scale([near]);
    await agent.start();
    // a send finds it without a peer, before it looks for an error
    await until('its end', async () => (await caller.send(id)) === 'EDESTADDRREQ');
    await caller.closeSocket(id);
  });
});

test('calls go on without the agent, and the next one adopts what is attached', async () => {
  const { agent } = lab.worker(0);
  const held = await caller.open('tcp', 4);
  const to = place(NUMBER.far, 'ipv4');
  expect(await caller.connect(held, to)).toBeNull();
  await agent.kill();
  for (const family of FAMILIES)
    for (const proto of PROTOS) expect((await ask(proto, place(NUMBER.far, family))).error).toBeNull();
  lab.writeService({ name: 'near', number: NUMBER.near, ports: named, backends: [far] });
  await agent.start();
  await until(
    'the change',
    async () => (await ask('tcp', place(NUMBER.near, 'ipv4'))).text?.startsWith('far') === true,
  );
  expect((await agent.cli(['plan'])).stdout).toMatch(/nothing to do/i);
  expect(await caller.peer(held)).toEqual(to);
  await caller.send(held);
  expect((await caller.receive(held)).text).toMatch(/^far/);
  await caller.closeSocket(held);
  lab.writeService({ name: 'near', number: NUMBER.near, ports: named, backends: [near] });
});

test('another program takes the place of the one before without a call that fails', async () => {
  const chain = lab.manifests;
  const path = await import('node:fs').then(({ readFileSync }) =>
    readFileSync(`${chain.directory}/chain.yaml`, 'utf8'),
  );
  const status = async () => {
    const all = [...(await lab.statuses(0)).values()];
    return all.find(({ metadata }) => metadata.name === 'kubernetes.sockets.node-a')?.status;
  };
  const before = conditionOf((await status()) ?? {}, 'Ready')?.observedGeneration ?? 0;
  chain.writeText('chain.yaml', path.replace('socketLB: {}', 'socketLB: {noBackends: Drop}'));
  await until('the change', async () => {
    for (const proto of PROTOS) expect((await ask(proto, place(NUMBER.far, 'ipv4'))).error).toBeNull();
    const ready = conditionOf((await status()) ?? {}, 'Ready');
    return ready?.status === 'True' && (ready.observedGeneration ?? 0) > before;
  });
  expect((await ask('tcp', place(NUMBER.none, 'ipv4'))).error).toBe('EHOSTUNREACH');
});

test("down takes it away, and leaves other people's programs at the cgroup", async () => {
  const { agent, node } = lab.worker(0);
  const path = new URL('../../build/bpf/socket-lb.o', import.meta.url).pathname;
  using object = await loadObject({ path });
  using foreign = CgroupLink.create(object.program('connect4'), node.namespace.cgroup, 'connect4');
  expect((await ask('tcp', place(NUMBER.host, 'ipv4'))).error).toBeNull();
  await agent.stop();
  await agent.down();
  expect(foreign.info().defunct).toBe(false);
  expect((await ask('tcp', place(NUMBER.host, 'ipv4'))).error).not.toBeNull();
});
