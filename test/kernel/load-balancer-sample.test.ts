// SPDX-License-Identifier: Apache-2.0
/** samples/load-balancer.yaml, validated, filled into the kernel and met by packets. */
import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import type { LoadBalancer, Service } from '../../src/api/generated/types.ts';
import { validate } from '../../src/api/validate.ts';
import { loadBalancer } from '../../src/cubes/load-balancer/type.ts';
import { Balancer, SERVER } from './support/balancer.ts';
import { dissect } from './support/dissect.ts';
import { ethernet, ip, tcp, udp } from './support/packet.ts';

const objects = parseAllDocuments(
  readFileSync(new URL('../../samples/load-balancer.yaml', import.meta.url), 'utf8'),
).map((document) => {
  const result = validate(document.toJS());
  if (!result.ok) throw new Error(result.message);
  return result.object as unknown as {
    kind: string;
    spec: {
      services?: Service[];
      loadBalancer?: LoadBalancer;
      nodeName?: string;
      ports?: { name: string }[];
    };
  };
});

test('the sample balances the packets that it says', async () => {
  const cube = objects.find(({ kind }) => kind === 'Cube');
  const services = objects.find(({ kind }) => kind === 'CubeTable')?.spec.services ?? [];
  const spec = cube?.spec.loadBalancer;
  if (!spec) throw new Error('the sample has no load balancer');
  const ports = (cube?.spec.ports ?? []).map(({ name }, id) => ({ name, id, addresses: [] }));
  expect(loadBalancer.check({ namespace: 'n', name: 'lb', uid: 'u', spec, ports })).toEqual([]);

  const lb = await Balancer.open({ spec, node: cube?.spec.nodeName ?? '' });
  expect(lb.set(...services)).toEqual([]);
  const to = (dst: string, src: string, sport: number) => {
    const result = lb.client(ethernet({}, ip({ src, dst }, tcp({ sport, dport: 80, flags: 'S' }))));
    expect(result).toMatchObject({ drops: [], seen: { port: SERVER } });
    return dissect(result.frame).ip;
  };
  const seen = new Map<string, number>();
  for (let i = 0; i < 300; i++) {
    const target = to('10.96.0.80', `10.244.7.${i % 250}`, 20_000 + i)?.dst ?? '';
    seen.set(target, (seen.get(target) ?? 0) + 1);
  }
  expect([...seen.keys()].sort()).toEqual(['10.244.1.10', '10.244.2.10']);
  expect(seen.get('10.244.1.10')).toBeGreaterThan(seen.get('10.244.2.10') ?? 0);
  expect(to('fd00:96::80', 'fd00::7', 9)).toMatchObject({ dst: 'fd00:244:1::10', tcp: { dport: 8080 } });
  expect(['10.244.1.10', '10.244.2.10']).toContain(to('198.51.100.80', '203.0.113.9', 9)?.dst);

  const query = udp({ sport: 9, dport: 53, payload: 20 });
  const asked = lb.client(ethernet({}, ip({ src: '10.244.1.3', dst: '10.96.0.80' }, query)));
  expect(dissect(asked.frame).ip?.udp?.dport).toBe(5353);
  const stranger = tcp({ sport: 9, dport: 80, flags: 'S' });
  expect(lb.client(ethernet({}, ip({ src: '10.9.9.9', dst: '198.51.100.80' }, stranger))).drops).toEqual([
    'load-balancer SourceNotAllowed',
  ]);
  lb.close();
});
