// SPDX-License-Identifier: Apache-2.0
/** samples/router.yaml, validated, filled into the kernel and met by packets. */
import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import type { Route, Router } from '../../src/api/generated/types.ts';
import { validate } from '../../src/api/validate.ts';
import { Chain } from './support/chain.ts';
import { dissectPacket } from './support/dissect.ts';
import { ethernet, ip, udp } from './support/packet.ts';
import { addRouter } from './support/router.ts';

interface Sample {
  kind: string;
  metadata: { name: string; namespace: string };
  spec: { router?: Router; routes?: Route[]; ports?: { name: string; addresses?: string[]; mtu?: number }[] };
}

const objects = parseAllDocuments(
  readFileSync(new URL('../../samples/router.yaml', import.meta.url), 'utf8'),
).map((document) => {
  const result = validate(document.toJS());
  if (!result.ok) throw new Error(result.message);
  return result.object as unknown as Sample;
});

test('the sample routes as it says', async () => {
  const cube = objects.find(({ kind }) => kind === 'Cube');
  const tables = objects.filter(({ kind }) => kind === 'CubeTable');
  const endpoints = { pods: 'Pods', overlay: 'Overlay', uplink: 'Interface' } as const;
  const ports = (cube?.spec.ports ?? []).map(({ name, addresses = [], mtu = 1450 }, id) => ({
    name,
    id,
    addresses,
    mtu,
    endpoint: endpoints[name as keyof typeof endpoints],
  }));
  const [PODS, OVERLAY, UPLINK] = [0, 1, 2];
  expect(ports.map(({ name }) => name)).toEqual(['pods', 'overlay', 'uplink']);

  using chain = await Chain.open();
  const router = await addRouter(chain, {
    ports,
    ...(cube?.spec.router ? { spec: cube.spec.router } : {}),
    tables: Object.fromEntries(tables.map(({ metadata, spec }) => [metadata.name, spec.routes ?? []])),
  });
  chain.attach({ kind: 'pod', addresses: ['10.244.1.5', 'fd00:244:1::5'] }, router.cube, PODS);
  const send = (dst: string, payload = 20) => {
    const src = dst.includes(':') ? 'fd00:244:1::5' : '10.244.1.5';
    return chain.run(ethernet({}, ip({ src, dst }, udp({ sport: 1, dport: 2, payload }))));
  };
  expect(['10.244.1.9', 'fd00:244:1::9'].map((dst) => send(dst).seen?.port)).toEqual([PODS, PODS]);
  expect(['10.244.2.9', 'fd00:244:2::9'].map((dst) => send(dst).seen?.work.tunnelRemote)).toEqual([
    '172.18.0.3',
    '172.18.0.3',
  ]);
  expect(send('10.244.2.9').seen?.port).toBe(OVERLAY);
  expect(['8.8.8.8', '2001:db8::1'].map((dst) => send(dst).seen?.work.nextHop)).toEqual([
    '192.168.7.1',
    'fd00:7::1',
  ]);
  expect(send('8.8.8.8').seen?.port).toBe(UPLINK);
  expect(['10.244.9.9', 'fd00:244:9::9'].flatMap((dst) => send(dst).drops)).toEqual([
    'router Unreachable',
    'router Unreachable',
  ]);
  expect(send('198.51.100.1').drops).toEqual(['router Blackhole']);
  // the uplink takes 1400 bytes, and says so
  expect(send('8.8.8.8', 1372).drops).toEqual([]);
  const tooBig = send('8.8.8.8', 1373);
  expect(tooBig.drops).toEqual(['router PacketTooBig']);
  expect(dissectPacket(tooBig.frame)).toMatchObject({
    src: '10.244.1.1',
    icmp: { type: 3, code: 4, rest: 1400 },
  });
});
