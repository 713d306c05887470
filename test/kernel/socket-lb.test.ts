// SPDX-License-Identifier: Apache-2.0
/** The socket load balancer, met by real sockets in a cgroup and a network namespace of the test. */

import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { type Answer, Caller, type Place, type Proto } from '../harness/calls.ts';
import { createCgroup } from '../harness/cgroup.ts';
import { type Lab, openLab } from '../harness/lab.ts';
import { createNamespace, type Namespace } from '../harness/netns.ts';
import { backend, frontend, service } from './support/balancer.ts';
import { SocketBalancer } from './support/socket-balancer.ts';

jest.setTimeout(180_000);

const BACKENDS = {
  4: ['198.18.1.1', '198.18.1.2', '198.18.1.3'],
  6: ['fd00:18::1', 'fd00:18::2', 'fd00:18::3'],
};
const VIP = { 4: '198.18.9.10', 6: 'fd00:96::10' };
const OTHER = { 4: '198.18.9.11', 6: 'fd00:96::11' };
const NODE = { 4: '198.18.1.1', 6: 'fd00:18::1' };
const TARGET = 8080;

/** Family of the service, and of the socket that asks for it: an IPv6 socket talks IPv4 by mapped addresses. */
const KINDS = [
  { proto: 'tcp', family: 4, socket: 4 },
  { proto: 'tcp', family: 6, socket: 6 },
  { proto: 'tcp', family: 4, socket: 6 },
  { proto: 'udp', family: 4, socket: 4 },
  { proto: 'udp', family: 6, socket: 6 },
  { proto: 'udp', family: 4, socket: 6 },
] as const;
const UDP_KINDS = KINDS.filter(({ proto }) => proto === 'udp');

let lab: Lab;
let namespace: Namespace;
let caller: Caller;
let balancer: SocketBalancer;
let cookie: bigint;

const upper = (proto: Proto) => proto.toUpperCase() as 'TCP' | 'UDP';
const named = (address: string, socket: 4 | 6) =>
  socket === 6 && !address.includes(':') ? `::ffff:${address}` : address;

function web(
  name: string,
  vips: Record<4 | 6, string>,
  options: Parameters<typeof frontend>[1] = {},
  count = 3,
) {
  const frontends = (['TCP', 'UDP'] as const).map((protocol) =>
    frontend([vips[4], vips[6]], { ...options, protocol }),
  );
  return service(
    name,
    frontends,
    [...BACKENDS[4].slice(0, count), ...BACKENDS[6].slice(0, count)].map((one) => backend(one)),
  );
}

/** Asks once with a new socket: who answered, and who the process thinks that was. */
async function ask(
  proto: Proto,
  socket: 4 | 6,
  to: Place,
): Promise<{ error: string | null; text?: string; peer?: Place | undefined }> {
  const id = await caller.open(proto, socket);
  try {
    const error = await caller.connect(id, [named(to[0], socket), to[1]]);
    if (error !== null) return { error };
    const peer = await caller.peer(id);
    if (proto === 'udp') await caller.send(id);
    const { error: failure, text = '' } = await caller.receive(id);
    return { error: failure, text, peer };
  } finally {
    await caller.closeSocket(id);
  }
}

beforeAll(async () => {
  lab = await openLab('socket load balancer');
  namespace = await createNamespace(lab, 'host');
  await namespace.ip(
    ...BACKENDS[4].map((address) => `addr add ${address}/32 dev lo`),
    ...BACKENDS[6].map((address) => `addr add ${address}/128 dev lo nodad`),
  );
  caller = Caller.start(namespace);
  cookie = BigInt((await caller.call('cookie')).cookie ?? 0);
  for (const address of [...BACKENDS[4], ...BACKENDS[6]])
    for (const proto of ['tcp', 'udp'] as const) await caller.serve(proto, [address, TARGET], address);
  balancer = await SocketBalancer.open({
    cgroup: namespace.cgroup,
    netnsCookie: cookie,
    addresses: [NODE[4], NODE[6]],
  });
});

afterAll(async () => {
  balancer?.close();
  await lab?.close();
});

describe.each(KINDS)(
  '$proto to a service of IPv$family by an IPv$socket socket',
  ({ proto, family, socket }) => {
    test('reaches each backend, and names the service as its peer', async () => {
      balancer.set(web('web', VIP));
      const seen = new Set<string | undefined>();
      for (let i = 0; i < 60; i++) {
        const { error, text, peer } = await ask(proto, socket, [VIP[family], 80]);
        expect([error, peer]).toEqual([null, [VIP[family], 80]]);
        seen.add(text);
      }
      expect([...seen].sort()).toEqual(BACKENDS[family]);
    });

    test('leaves other addresses alone', async () => {
      const to: Place = [BACKENDS[family][1] ?? '', TARGET];
      expect(await ask(proto, socket, to)).toEqual({ error: null, text: to[0], peer: to });
    });

    test('fails at once without backends: refused, or unreachable where silence is asked for', async () => {
      balancer.set(web('none', OTHER, {}, 0));
      expect((await ask(proto, socket, [OTHER[family], 80])).error).toBe('ECONNREFUSED');
      balancer.set(web('none', OTHER, { noBackends: 'Drop' }, 0));
      expect((await ask(proto, socket, [OTHER[family], 80])).error).toBe('EHOSTUNREACH');
      balancer.remove('none');
    });

    test('obeys the internal traffic policy, and takes those that terminate where nobody is ready', async () => {
      const local = web('local', OTHER, { trafficPolicy: 'Local' });
      const at = (nodes: readonly string[]) =>
        local.backends.map((one, i) => ({ ...one, node: nodes[i % 3] ?? 'node-b' }));
      balancer.set({ ...local, backends: at(['node-b', 'node-a', 'node-b']) });
      for (let i = 0; i < 8; i++)
        expect((await ask(proto, socket, [OTHER[family], 80])).text).toBe(BACKENDS[family][1]);
      balancer.set({ ...local, backends: at(['node-b', 'node-b', 'node-b']) });
      expect((await ask(proto, socket, [OTHER[family], 80])).error).toBe('EHOSTUNREACH');
      const states = ['NotReady', 'Serving', 'Terminating'] as const;
      balancer.set({
        ...web('local', OTHER),
        backends: local.backends.map((one, i) => ({ ...one, state: states[i % 3] ?? 'Ready' })),
      });
      for (let i = 0; i < 8; i++)
        expect((await ask(proto, socket, [OTHER[family], 80])).text).toBe(BACKENDS[family][1]);
      balancer.remove('local');
    });

    test('keeps a backend by affinity, as long as it is ready', async () => {
      const affinity = { affinity: { type: 'ClientIP', timeoutSeconds: 100 } } as const;
      balancer.set(web('sticky', OTHER, affinity));
      const first = (await ask(proto, socket, [OTHER[family], 80])).text ?? '';
      for (let i = 0; i < 12; i++) expect((await ask(proto, socket, [OTHER[family], 80])).text).toBe(first);
      const without = web('sticky', OTHER, affinity);
      balancer.set({ ...without, backends: without.backends.filter(({ address }) => address !== first) });
      const second = (await ask(proto, socket, [OTHER[family], 80])).text;
      expect(second).not.toBe(first);
      expect(BACKENDS[family]).toContain(second);
      balancer.remove('sticky');
    });

    test('serves a node port on the addresses of the node and on loopback', async () => {
      const frontends = (['TCP', 'UDP'] as const).map((protocol) =>
        frontend([], { protocol, scope: 'NodePort', port: 30080, trafficPolicy: 'Local' }),
      );
      const backends = BACKENDS[family].slice(1, 2).map((one) => backend(one, { node: 'node-b' }));
      balancer.set(service('port', frontends, backends));
      const loopback = family === 4 ? '127.0.0.1' : '::1';
      for (const address of [NODE[family], loopback]) {
        const { text, peer } = await ask(proto, socket, [address, 30080]);
        expect([text, peer]).toEqual([BACKENDS[family][1], [address, 30080]]);
      }
      balancer.image.setNode({
        name: 'node-a',
        gatewayMac: '',
        overlayVni: 1,
        redirectPeer: true,
        addresses: [],
      });
      balancer.set();
      expect((await ask(proto, socket, [NODE[family], 30080])).error).toBe('ECONNREFUSED');
      balancer.image.setNode({
        name: 'node-a',
        gatewayMac: '',
        overlayVni: 1,
        redirectPeer: true,
        addresses: [NODE[4], NODE[6]],
      });
      balancer.remove('port');
    });

    test('leaves a frontend with source ranges to those who see the source', async () => {
      balancer.set(
        service(
          'ranges',
          [
            frontend([BACKENDS[family][0] ?? ''], {
              protocol: upper(proto),
              port: TARGET,
              sourceRanges: ['203.0.113.0/24'],
              scope: 'LoadBalancer',
            }),
          ],
          [backend(BACKENDS[family][1] ?? '')],
        ),
      );
      expect((await ask(proto, socket, [BACKENDS[family][0] ?? '', TARGET])).text).toBe(BACKENDS[family][0]);
      balancer.remove('ranges');
    });
  },
);

describe.each(UDP_KINDS)(
  'an unconnected UDP socket of IPv$socket, to a service of IPv$family',
  ({ family, socket }) => {
    const exchange = async (id: number, to: Place) => {
      const error = await caller.send(id, [named(to[0], socket), to[1]]);
      return error === null ? await caller.receive(id) : { error };
    };

    /** The kernel's coarse clock may be some milliseconds behind the moment from which a backend is gone. The last answer. */
    const exchangeUntil = async (isDone: (answer: Partial<Answer>) => boolean, id: number, to: Place) => {
      const deadline = Date.now() + 30_000;
      for (;;) {
        const answer: Partial<Answer> = await exchange(id, to);
        if (isDone(answer) || Date.now() > deadline) return answer;
      }
    };

    test('keeps its backend until that is gone, and hears the service answer', async () => {
      balancer.set(web('web', VIP));
      const id = await caller.open('udp', socket);
      const { text: first, from } = await exchange(id, [VIP[family], 80]);
      expect(BACKENDS[family]).toContain(first);
      expect(from).toEqual([VIP[family], 80]);
      for (let i = 0; i < 12; i++)
        expect(await exchange(id, [VIP[family], 80])).toEqual({
          error: null,
          text: first,
          from: [VIP[family], 80],
        });
      const left = web('web', VIP);
      balancer.set({ ...left, backends: left.backends.filter(({ address }) => address !== first) });
      const second = (await exchangeUntil(({ text }) => text !== first, id, [VIP[family], 80])).text;
      expect(second).not.toBe(first);
      expect(BACKENDS[family]).toContain(second);
      expect(balancer.counters().repicked).toBeGreaterThan(0);
      balancer.set(web('web', VIP, {}, 0));
      expect(await exchangeUntil(({ error }) => error !== null, id, [VIP[family], 80])).toEqual({
        error: 'ECONNREFUSED',
      });
      await caller.closeSocket(id);
    });

    test('tells the answers of two services apart, and those of a backend that it asks itself', async () => {
      balancer.set(web('web', VIP), web('other', OTHER));
      for (let i = 0; i < 10; i++) {
        const id = await caller.open('udp', socket);
        for (const vip of [VIP[family], OTHER[family], VIP[family]])
          expect((await exchange(id, [vip, 80])).from).toEqual([vip, 80]);
        await caller.closeSocket(id);
      }
      const id = await caller.open('udp', socket);
      const direct: Place = [BACKENDS[family][2] ?? '', TARGET];
      expect((await exchange(id, direct)).from).toEqual(direct);
      await caller.closeSocket(id);
      balancer.remove('other');
    });
  },
);

test.each(KINDS)(
  'no process gets the port of a service: IPv$family $proto, by a socket of IPv$socket',
  async ({ proto, family, socket }) => {
    const other = proto === 'tcp' ? 'udp' : 'tcp';
    const protocol = upper(proto);
    const ports = service(
      'node-port',
      [
        frontend([], { scope: 'NodePort', port: 30080, protocol }),
        frontend([BACKENDS[family][1] ?? ''], { scope: 'External', port: 8081, protocol }),
      ],
      [backend(BACKENDS[family][0] ?? '')],
    );
    const bind = async (address: string, port: number, by: Proto = proto) => {
      const id = await caller.open(by, socket);
      const error = await caller.bind(id, [named(address, socket), port]);
      await caller.closeSocket(id);
      return error;
    };
    const any = family === 4 ? '0.0.0.0' : '::';
    const before = balancer.drops().PortOfService ?? 0;
    balancer.set(ports);
    expect(await bind(NODE[family], 30080)).toBe('EADDRINUSE');
    expect(await bind(any, 30080)).toBe('EADDRINUSE');
    if (socket === 6) expect(await bind('::', 30080)).toBe('EADDRINUSE');
    expect(await bind(BACKENDS[family][1] ?? '', 8081)).toBe('EADDRINUSE');
    expect(balancer.drops().PortOfService).toBe(before + (socket === 6 ? 4 : 3));
    // of another address of the node, of any, of the other protocol; and where the kernel chooses
    expect(await bind(BACKENDS[family][2] ?? '', 8081)).toBeNull();
    expect(await bind(any, 8081)).toBeNull();
    expect(await bind(any, 30080, other)).toBeNull();
    expect(await bind(NODE[family], 0)).toBeNull();
    balancer.remove('node-port');
    expect(await bind(any, 30080)).toBeNull();
  },
);

describe.each(UDP_KINDS)(
  'a UDP socket of IPv$socket that a service of IPv$family was given',
  ({ family, socket }) => {
    const vip: Place = [VIP[family], 80];
    const backendOf = (index: number): Place => [BACKENDS[family][index] ?? '', TARGET];
    const to = (place: Place): Place => [named(place[0], socket), place[1]];
    let id: number;

    beforeEach(async () => {
      balancer.set(web('web', VIP, {}, 1), web('other', OTHER, {}, 1));
      id = await caller.open('udp', socket);
    });
    afterEach(async () => {
      await caller.closeSocket(id);
      balancer.remove('other');
    });

    /** Whom the process is told when the peer answers. */
    const heard = async () => {
      expect(await caller.send(id)).toBeNull();
      return (await caller.receive(id)).from;
    };

    test('still has it as its peer after a connect that failed', async () => {
      expect(await caller.connect(id, to(vip))).toBeNull();
      balancer.set(web('other', OTHER, {}, 0));
      expect(await caller.connect(id, to([OTHER[family], 80]))).toBe('ECONNREFUSED');
      expect(await caller.peer(id)).toEqual(vip);
      expect(await caller.connect(id, to([OTHER[family], 99]))).toBe('ENETUNREACH');
      expect([await caller.peer(id), await heard()]).toEqual([vip, vip]);
    });

    test('has other peers by their own names, also the backend itself', async () => {
      for (const peer of [backendOf(1), backendOf(0)]) {
        expect(await caller.connect(id, to(vip))).toBeNull();
        expect(await caller.connect(id, to(peer))).toBeNull();
        expect([await caller.peer(id), await heard()]).toEqual([peer, peer]);
      }
    });

    test('that is connected hears its peer, not the service that it sent to before', async () => {
      expect(await caller.send(id, to(vip))).toBeNull();
      expect((await caller.receive(id)).from).toEqual(vip);
      expect(await caller.connect(id, to([OTHER[family], 80]))).toBeNull();
      expect([await caller.peer(id), await heard()]).toEqual([
        [OTHER[family], 80],
        [OTHER[family], 80],
      ]);
    });

    test('hears the backend itself when it is connected to nobody any more', async () => {
      expect(await caller.connect(id, to(vip))).toBeNull();
      expect(await caller.disconnect(id)).toBeNull();
      expect(await caller.send(id, to(backendOf(0)))).toBeNull();
      expect((await caller.receive(id)).from).toEqual(backendOf(0));
    });

    test('goes on with its backend where another service has the address of that', async () => {
      expect(await caller.connect(id, to(vip))).toBeNull();
      const protocol = 'UDP';
      const above = frontend([backendOf(0)[0]], { protocol, port: TARGET });
      balancer.set(service('above', [above], [backend(BACKENDS[family][1] ?? '')]));
      expect(await caller.send(id)).toBeNull();
      expect(await caller.receive(id)).toEqual({ error: null, text: backendOf(0)[0], from: vip });
      balancer.remove('above');
    });

    test('that gets one backend for two services is counted, also where affinity decides', async () => {
      const name = `sticky-${socket}-${family}`; // an affinity stays with a name
      balancer.remove('other');
      balancer.set(web(name, OTHER, { affinity: { type: 'ClientIP', timeoutSeconds: 100 } }, 1));
      const before = balancer.counters();
      for (const service of [OTHER[family], VIP[family], OTHER[family]]) {
        const other = await caller.open('udp', socket);
        for (const address of [VIP[family], service])
          expect(await caller.send(other, to([address, 80]))).toBeNull();
        await caller.closeSocket(other);
      }
      const after = balancer.counters();
      expect(after.affinityHits).toBe((before.affinityHits ?? 0) + 1);
      expect(after.sharedBackends).toBe((before.sharedBackends ?? 0) + 2);
      balancer.remove(name);
    });
  },
);

test('acts on sockets of its network namespace alone, and in scope All on those of others below the cgroup', async () => {
  const pod = await createNamespace(lab, 'pod', { cgroup: join(namespace.cgroup, 'pods', 'one') });
  await createCgroup(pod.cgroup);
  await pod.ip(`addr add ${BACKENDS[4][0]}/32 dev lo`);
  const own = Caller.start(pod);
  await own.serve('tcp', [BACKENDS[4][0] ?? '', TARGET], 'pod');
  balancer.set(web('web', VIP, {}, 1));
  const first = await own.open('tcp', 4);
  expect(await own.connect(first, [VIP[4], 80])).toBe('ENETUNREACH');
  const all = await SocketBalancer.open({ cgroup: pod.cgroup, netnsCookie: cookie, spec: { scope: 'All' } });
  try {
    all.set(web('web', VIP, {}, 1));
    const second = await own.open('tcp', 4);
    expect(await own.connect(second, [VIP[4], 80])).toBeNull();
    expect((await own.receive(second)).text).toBe('pod');
  } finally {
    all.close();
  }
});
