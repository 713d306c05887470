// SPDX-License-Identifier: Apache-2.0
/** Clients from outside: what backends see of them, and how answers find back. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Balancer, backend, frontend, service } from './support/balancer.ts';
import type { RunResult } from './support/chain.ts';
import { type DissectedIp, dissect, verifyChecksums } from './support/dissect.ts';
import { ethernet, icmpError, ip, type Layer4, tcp, udp } from './support/packet.ts';

/** PKT_SERVICE_SOURCE of bpf/include/packet.h. */
const SERVICE_SOURCE = 1 << 14;

const FAMILIES = [
  [
    'IPv4',
    {
      node: '192.0.2.11',
      source: '10.244.1.254',
      backend: '10.244.2.7',
      client: '203.0.113.7',
      other: '203.0.113.8',
      router: '203.0.113.254',
      clients: '203.0.113.7/32',
    },
  ],
  [
    'IPv6',
    {
      node: '2001:db8::11',
      source: 'fd00:244:1::ffff',
      backend: 'fd00:244:2::7',
      client: '2001:db8:7::7',
      other: '2001:db8:7::8',
      router: '2001:db8:7::ffff',
      clients: '2001:db8:7::7/128',
    },
  ],
] as const;

const NODE_PORT = 30_080;

let lb: Balancer;
beforeEach(async () => {
  lb = await Balancer.open({
    spec: { clusterSources: ['10.244.1.254', 'fd00:244:1::ffff'] },
    addresses: ['192.0.2.11', '2001:db8::11'],
  });
});
afterEach(() => lb?.close());

const packet = (src: string, dst: string, l4: Layer4) => ethernet({}, ip({ src, dst }, l4));

function ipOf(result: RunResult): DissectedIp {
  expect(result.drops).toEqual([]);
  expect(verifyChecksums(result.frame)).toEqual([]);
  const { ip: found } = dissect(result.frame);
  if (!found) throw new Error('no IP packet');
  return found;
}

describe.each(FAMILIES)('%s', (family, f) => {
  const v6 = family === 'IPv6';
  const nodePort = (options = {}) => frontend([], { scope: 'NodePort', port: NODE_PORT, ...options });
  const syn = (src: string, sport = 4000) =>
    packet(src, f.node, tcp({ sport, dport: NODE_PORT, flags: 'S' }));

  test('a backend sees the source of the node, its answer finds the client, and carries the mark', () => {
    lb.set(service('web', [nodePort()], [backend(f.backend)]));
    expect(ipOf(lb.client(syn(f.client)))).toMatchObject({
      src: f.source,
      dst: f.backend,
      tcp: { sport: 4000, dport: 8080 },
    });
    const answer = lb.server(packet(f.backend, f.source, tcp({ sport: 8080, dport: 4000, flags: 'SA' })));
    expect(ipOf(answer)).toMatchObject({
      src: f.node,
      dst: f.client,
      tcp: { sport: NODE_PORT, dport: 4000 },
    });
    expect((answer.seen?.work.flags ?? 0) & SERVICE_SOURCE).toBe(SERVICE_SOURCE);
  });

  test('two clients with one port have two ports at the source, and each its own answers', () => {
    lb.set(service('web', [nodePort()], [backend(f.backend)]));
    const ports = [f.client, f.other].map((client) => ipOf(lb.client(syn(client))).tcp?.sport ?? 0);
    expect(new Set(ports).size).toBe(2);
    for (const [i, client] of [f.client, f.other].entries()) {
      const answer = packet(f.backend, f.source, tcp({ sport: 8080, dport: ports[i] ?? 0, flags: 'SA' }));
      expect(ipOf(lb.server(answer))).toMatchObject({ dst: client, tcp: { dport: 4000 } });
    }
  });

  test('with Local a backend sees the client, unless it is the host itself', () => {
    lb.set(service('web', [nodePort({ trafficPolicy: 'Local' })], [backend(f.backend)]));
    expect(ipOf(lb.client(syn(f.client)))).toMatchObject({ src: f.client, dst: f.backend });
    lb.chain.hostAddress(f.backend);
    expect(ipOf(lb.client(syn(f.client, 4001)))).toMatchObject({ src: f.source, dst: f.backend });
  });

  test('source ranges and cluster IPs are about the client itself', () => {
    const cluster = v6 ? 'fd00:96::10' : '10.96.0.10';
    lb.set(
      service('web', [nodePort({ sourceRanges: [f.clients] }), frontend([cluster])], [backend(f.backend)]),
    );
    expect(ipOf(lb.client(syn(f.client)))).toMatchObject({ src: f.source });
    expect(lb.client(syn(f.other))).toMatchObject({ drops: ['load-balancer SourceNotAllowed'] });
    const inner = packet(f.client, cluster, tcp({ sport: 4000, dport: 80, flags: 'S' }));
    expect(ipOf(lb.client(inner))).toMatchObject({ src: f.client, dst: f.backend });
  });

  test('an error from the way of an answer comes to the backend from the source, and back', () => {
    lb.set(service('web', [nodePort({ protocol: 'UDP' })], [backend(f.backend)]));
    lb.client(packet(f.client, f.node, udp({ sport: 4000, dport: NODE_PORT, payload: 8 })));
    const answer = lb.server(packet(f.backend, f.source, udp({ sport: 8080, dport: 4000, payload: 8 })));
    const [type, code] = v6 ? [1, 0] : [3, 1];
    const error = ipOf(lb.client(packet(f.router, f.node, icmpError(type, code, answer.frame.subarray(14)))));
    expect(error).toMatchObject({
      src: f.source,
      dst: f.backend,
      quoted: { src: f.backend, dst: f.source },
    });
    const request = lb.client(packet(f.client, f.node, udp({ sport: 4000, dport: NODE_PORT, payload: 8 })));
    const refused = icmpError(v6 ? 1 : 3, v6 ? 4 : 3, request.frame.subarray(14));
    expect(ipOf(lb.server(packet(f.backend, f.source, refused)))).toMatchObject({
      src: f.node,
      dst: f.client,
      quoted: { src: f.client, dst: f.node },
    });
  });
});

test('node ports follow the addresses of the node', () => {
  lb.set(service('web', [frontend([], { scope: 'NodePort', port: NODE_PORT })], [backend('10.244.2.7')]));
  const to = (dst: string) =>
    lb.client(packet('203.0.113.7', dst, tcp({ sport: 1, dport: NODE_PORT, flags: 'S' })));
  expect(to('192.0.2.12').counts).toEqual(['load-balancer passed']);
  lb.move('192.0.2.12');
  expect(to('192.0.2.12').counts).toContain('load-balancer newSessions');
  expect(to('192.0.2.11').counts).toEqual(['load-balancer passed']);
});
