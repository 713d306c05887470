// SPDX-License-Identifier: Apache-2.0
/** As many rules as there may be; of fewer, of all kinds, fuzz-firewall.test.ts has what they do. */
import { expect, test } from '@jest/globals';
import type { FirewallRule } from '../../src/api/generated/types.ts';
import { FirewallChain, rulesOf } from './support/firewall.ts';
import { ethernet, ip, tcp } from './support/packet.ts';

test('of 5,000 rules, each for a host and a port, some decide about their packets, and replacing all is whole', async () => {
  const fw = await FirewallChain.open({
    maxRules: 5120,
    defaultActions: { ingress: 'Drop', egress: 'Drop' },
    sessions: { maxEstablished: 64, maxEmbryonic: 64 },
  });
  const host = (i: number) => `10.${i >> 8}.${i & 255}.1`;
  const rules = rulesOf(
    Array.from({ length: 5000 }, (_, i) => ({
      name: `h${i}`,
      action: 'Allow',
      sources: [`${host(i)}/32`],
      ports: [{ protocol: 'TCP', port: 1 + i }],
    })),
  );
  expect(fw.set(...rules)).toEqual([]);
  expect(fw.image.usage().rules).toEqual({ used: 5000, max: 5120 });
  const send = (i: number, port = 1 + i) =>
    fw.ingress(
      ethernet({}, ip({ src: host(i), dst: '10.0.0.9' }, tcp({ sport: 9, dport: port, flags: 'S' }))),
    );
  for (let i = 0; i < 5000; i += 250) {
    expect(send(i).drops).toEqual([]);
    expect(fw.counter(rules[i] as FirewallRule).packets).toBe(1);
    expect(send(i, 2 + i).drops).toEqual(['firewall DroppedByDefault']);
  }
  expect(send(4999).drops).toEqual([]);
  fw.set(...rules.map((one) => ({ ...one, action: 'Drop' as const })));
  expect(send(4999).drops).toEqual(['firewall DroppedByRule']);
  expect(fw.cube.map('addresses').dumpSync().count).toBe(10_000); // of both banks
  fw.close();
});
