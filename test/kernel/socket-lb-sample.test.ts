// SPDX-License-Identifier: Apache-2.0
/** samples/socket-lb.yaml, validated, filled into the kernel and met by sockets. */
import { readFileSync } from 'node:fs';
import { expect, jest, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import type { Service, SocketLB } from '../../src/api/generated/types.ts';
import { validate } from '../../src/api/validate.ts';
import { Caller } from '../harness/calls.ts';
import { openLab } from '../harness/lab.ts';
import { createNamespace } from '../harness/netns.ts';
import { SocketBalancer } from './support/socket-balancer.ts';

jest.setTimeout(120_000);

const read = () =>
  parseAllDocuments(readFileSync(new URL('../../samples/socket-lb.yaml', import.meta.url), 'utf8')).map(
    (document) => document.toJS(),
  );

function validated(object: unknown) {
  const result = validate(object);
  if (!result.ok) throw new Error(result.message);
  return result.object as unknown as { kind: string; spec: { services?: Service[]; socketLB?: SocketLB } };
}

test('the sample reaches the backends that it names, as a process sees it', async () => {
  const objects = read().map(validated);
  const services = objects.find(({ kind }) => kind === 'CubeTable')?.spec.services ?? [];
  const spec = objects.find(({ kind }) => kind === 'Cube')?.spec.socketLB;
  if (!spec) throw new Error('the sample has no SocketLB');
  const lab = await openLab('sample of the socket load balancer');
  try {
    const node = await createNamespace(lab, 'node');
    const backends = ['10.244.1.10', 'fd00:244:0:1::a'] as const;
    await node.ip(`addr add ${backends[0]}/32 dev lo`, `addr add ${backends[1]}/128 dev lo nodad`);
    const caller = Caller.start(node);
    for (const address of backends) {
      await caller.serve('tcp', [address, 8080], address);
      await caller.serve('udp', [address, 5353], `dns of ${address}`);
    }
    const netnsCookie = BigInt((await caller.call('cookie')).cookie ?? 0);
    const balancer = await SocketBalancer.open({ cgroup: node.cgroup, netnsCookie, spec });
    balancer.set(...services);
    for (const [i, vip] of ['10.96.0.80', 'fd00:96::80'].entries()) {
      const family = i === 0 ? 4 : 6;
      for (const [address, port] of [
        [vip, 80],
        [family === 4 ? '127.0.0.1' : '::1', 30080],
      ] as const) {
        const id = await caller.open('tcp', family);
        expect(await caller.connect(id, [address, port])).toBeNull();
        expect(await caller.peer(id)).toEqual([address, port]);
        expect((await caller.receive(id)).text).toBe(backends[i]);
      }
      const id = await caller.open('udp', family);
      expect(await caller.send(id, [vip, 53])).toBeNull();
      expect(await caller.receive(id)).toEqual({
        error: null,
        text: `dns of ${backends[i]}`,
        from: [vip, 53],
      });
    }
    expect(balancer.counters()).toEqual({ connected: 4, flows: 2, sent: 2, received: 2, peerNames: 4 });
    balancer.close();
  } finally {
    await lab.close();
  }
});

test.each([
  ['another hook', { hook: 'TC' }, /runs at no other hook than Cgroup; set hook to Cgroup/],
  ['ports', { ports: [{ name: 'a' }] }, /at most 0 ports/],
])('with %s it is refused, in words', (_, change, message) => {
  const cube = read().find(({ kind }) => kind === 'Cube');
  const result = validate({ ...cube, spec: { ...cube.spec, ...change } });
  expect(result.ok ? '' : result.message).toMatch(message);
});
