// SPDX-License-Identifier: Apache-2.0
/** Random policies, pods and packets: the tables and the program do with each packet what the policies say of it. */
import { expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { type Asked, packets, passes, reference, worlds } from '../fixtures/policy-reference.ts';
import { FirewallChain, INSIDE, OUTSIDE } from './support/firewall.ts';
import { echo, ethernet, ip, type Layer4, raw, sctp, sctpChunk, tcp, udp } from './support/packet.ts';

jest.setTimeout(300_000);

function layer4({ proto, dport, src }: Asked, sport: number): Layer4 {
  if (proto === 6) return tcp({ sport, dport, flags: 'S' });
  if (proto === 17) return udp({ sport, dport });
  if (proto === 132) return sctp({ sport, dport, chunks: [sctpChunk(1, Buffer.alloc(16))] });
  return proto === 47 ? raw(47, 20) : echo({ v6: src.includes(':'), id: sport });
}

test.each(['Enforce', 'Audit'] as const)(
  '%s: 6,000 random packets of 100 random worlds',
  async (policyMode) => {
    const fw = await FirewallChain.open({
      policyMode,
      defaultActions: { ingress: 'Allow', egress: 'Allow' },
      sessions: { maxEstablished: 64, maxEmbryonic: 64 },
    });
    let sport = 20_000;
    const seen = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(worlds, fc.array(packets, { minLength: 60, maxLength: 60 }), async (world, list) => {
        fw.setNode(...world.node);
        expect(fw.setPolicies(world.policies, world.identities)).toEqual([]);
        for (const packet of list) {
          // of a tuple that was not before: an answer to another packet would pass
          sport = sport === 60_000 ? 20_000 : sport + 1;
          if (packet.proto === 47) fw.clear();
          const frame = ethernet({}, ip(packet, layer4(packet, sport)));
          const isIngress = packet.direction === 'Ingress';
          const { seen: out, counts } = isIngress ? fw.ingress(frame) : fw.egress(frame);
          const verdict = reference(world, packet);
          seen.set(verdict, (seen.get(verdict) ?? 0) + 1);
          const refused = !passes(verdict);
          expect({
            packet,
            passes: out?.port === (isIngress ? INSIDE : OUTSIDE),
            audited: counts.includes('firewall audited'),
          }).toEqual({
            packet,
            passes: policyMode === 'Audit' || !refused,
            audited: policyMode === 'Audit' && refused,
          });
        }
      }),
      { numRuns: 100, endOnFailure: true },
    );
    for (const verdict of ['node', 'allowed', 'isolated', 'not isolated', 'accepted', 'denied'])
      expect(seen.get(verdict) ?? 0).toBeGreaterThan(4);
    fw.close();
  },
);
