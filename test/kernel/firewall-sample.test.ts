// SPDX-License-Identifier: Apache-2.0
/** samples/firewall.yaml, validated, filled into the kernel and met by packets. */
import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import type { Firewall, FirewallRule } from '../../src/api/generated/types.ts';
import { validate } from '../../src/api/validate.ts';
import { dissect } from './support/dissect.ts';
import { FirewallChain, INSIDE, OUTSIDE } from './support/firewall.ts';
import { echo, ethernet, ip, type Layer4, tcp, udp } from './support/packet.ts';

const objects = parseAllDocuments(
  readFileSync(new URL('../../samples/firewall.yaml', import.meta.url), 'utf8'),
).map((document) => {
  const result = validate(document.toJS());
  if (!result.ok) throw new Error(result.message);
  return result.object as unknown as { kind: string; spec: { firewall?: Firewall; rules?: FirewallRule[] } };
});

test('the sample lets through what it says, and nothing else', async () => {
  const fw = await FirewallChain.open(objects.find(({ kind }) => kind === 'Cube')?.spec.firewall);
  expect(fw.set(...(objects.find(({ kind }) => kind === 'CubeTable')?.spec.rules ?? []))).toEqual([]);
  const from = (src: string, l4: Layer4) =>
    fw.ingress(ethernet({}, ip({ src, dst: src.includes(':') ? 'fd00:244::5' : '10.244.1.5' }, l4)));
  const syn = (dport: number, flags = 'S') => tcp({ sport: 50000, dport, flags });

  for (const src of ['198.51.100.9', '2001:db8:9::9']) {
    expect(from(src, syn(80)).seen?.port).toBe(INSIDE);
    expect(from(src, udp({ sport: 5, dport: 443 })).seen?.port).toBe(INSIDE);
    expect(from(src, udp({ sport: 5, dport: 80 })).drops).toEqual(['firewall DroppedByDefault']);
    expect(from(src, echo({ v6: src.includes(':') })).seen?.port).toBe(INSIDE);
    expect(from(src, syn(22))).toMatchObject({ drops: ['firewall RejectedByRule'], seen: { port: OUTSIDE } });
    expect(from(src, syn(8080)).drops).toEqual(['firewall DroppedByDefault']);
    expect(from(src, syn(81, 'FS')).drops).toEqual(['firewall DroppedByRule']);
  }
  expect(from('203.0.113.77', syn(22)).seen?.port).toBe(INSIDE);
  expect(from('2001:db8:ff1::7', syn(22)).seen?.port).toBe(INSIDE);
  const logged = from('198.51.100.9', syn(22));
  expect(logged.counts).toContain('firewall logged');

  const out = (dst: string) => fw.egress(ethernet({}, ip({ src: '10.244.1.5', dst }, syn(80))));
  expect(out('198.51.100.1').seen?.port).toBe(OUTSIDE);
  const refused = out('169.254.169.254');
  expect(refused).toMatchObject({ drops: ['firewall RejectedByRule'], seen: { port: INSIDE } });
  expect(dissect(refused.frame).ip?.src).toBe('169.254.169.254');
  fw.close();
});
