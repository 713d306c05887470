// SPDX-License-Identifier: Apache-2.0
/** SCTP by crafted packets, since this kernel may have no SCTP sockets: an association's first two packets. */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Pod } from '../harness/topology.ts';
import { dissectPacket, verifyChecksums } from '../kernel/support/dissect.ts';
import { ethernet, ip, sctp, sctpChunk } from '../kernel/support/packet.ts';
import { sendFrames, sniff } from './support/frames.ts';
import { vipsOf } from './support/manifests.ts';
import { FAMILIES, openTwoNodes, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(120_000);

const PORT = 7000;
const INIT = 1;
const INIT_ACK = 2;

let lab: TwoNodes;
let client: Pod;
const backends: Pod[] = [];

beforeAll(async () => {
  lab = await openTwoNodes('SCTP test');
  client = await lab.addPod(0, 'client', 10);
  backends.push(await lab.addPod(0, 'near', 11), await lab.addPod(1, 'far', 11));
  for (const [index, backend] of backends.entries()) {
    lab.writeService({
      name: `sctp-${backend.name}`,
      number: 20 + index,
      ports: [{ name: 'sctp', protocol: 'SCTP', port: PORT, targetPort: PORT }],
      backends: [backend],
    });
  }
  await lab.untilFrontends(0, 4);
});
afterAll(async () => {
  await lab?.close();
});

/** Initiate tag, window, streams, first TSN (RFC 9260 3.3.2). */
function initiation(tag: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32BE(tag, 0);
  bytes.writeUInt32BE(65_536, 4);
  bytes.writeUInt16BE(10, 8);
  bytes.writeUInt16BE(10, 10);
  bytes.writeUInt32BE(tag, 12);
  return bytes;
}

describe.each(FAMILIES)('%s', (family) => {
  test.each([0, 1])('INIT reaches the backend, INIT ACK the client: backend %s', async (index) => {
    const backend = backends[index] as Pod;
    const vip = vipsOf(20 + index)[family];
    const clientAddress = client.addresses[family] ?? '';
    const backendAddress = backend.addresses[family] ?? '';
    const sport = 40_000 + index;

    const hello = initiation(0x11223344 + index);
    const atBackend = await sniff(backend.namespace, 'eth0', { match: [hello] });
    await sendFrames(client.namespace, 'eth0', [
      ethernet(
        { src: client.mac },
        ip({ src: clientAddress, dst: vip }, sctp({ sport, dport: PORT, chunks: [sctpChunk(INIT, hello)] })),
      ),
    ]);
    const [first] = await atBackend.frames();
    expect(first).toBeDefined();
    const init = dissectPacket(first as Buffer);
    expect(verifyChecksums(first as Buffer)).toEqual([]);
    expect(init).toMatchObject({ src: clientAddress, dst: backendAddress, sctp: { sport, dport: PORT } });

    const answer = initiation(0x55667788 + index);
    const atClient = await sniff(client.namespace, 'eth0', { match: [answer] });
    await sendFrames(backend.namespace, 'eth0', [
      ethernet(
        { src: backend.mac },
        ip(
          { src: backendAddress, dst: clientAddress },
          sctp({
            sport: PORT,
            dport: sport,
            tag: 0x11223344 + index,
            chunks: [sctpChunk(INIT_ACK, answer)],
          }),
        ),
      ),
    ]);
    const [second] = await atClient.frames();
    expect(second).toBeDefined();
    expect(verifyChecksums(second as Buffer)).toEqual([]);
    expect(dissectPacket(second as Buffer)).toMatchObject({
      src: vip,
      dst: clientAddress,
      sctp: { sport: PORT, dport: sport, tag: 0x11223344 + index },
    });
  });
});
