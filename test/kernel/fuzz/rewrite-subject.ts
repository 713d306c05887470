// SPDX-License-Identifier: Apache-2.0
/** cube_rewrite() and the parser in front of it, in the kernel and as models. */
import type { CubeTypeSchema } from '../../../src/api/schemas/cube-type.ts';
import { ipBytes, isV6, mappedBytes } from '../support/bytes.ts';
import { Chain, Flag, type SeenWork, u32, Verdict } from '../support/chain.ts';
import type { Subject } from './campaign.ts';
import { randomFrame, type World } from './packets.ts';
import { addressOf, type Parsed, ParseModel } from './parse-model.ts';
import type { Random } from './random.ts';
import { type Change, checksumsOf, holdsIdentifier, rewritten, sameBytes } from './rewrite-model.ts';

const SCHEMA = { dropReasons: [], counters: [] } as unknown as CubeTypeSchema;

const WORLD: World = {
  addresses: [
    ...['10.244.1.5', '10.244.1.9', '10.96.0.10', '203.0.113.9', '255.255.255.254', '0.0.0.1', '239.1.1.1'],
    ...['fd00:244:1::5', 'fd00:96::10', '2001:db8::9', 'ffff::fffe', '::2', 'ff05::2', '::ffff:10.0.0.1'],
  ],
  ports: [0, 1, 53, 80, 1024, 40000, 65535],
  macs: ['02:00:00:00:0a:0a', '02:c0:be:00:00:01'],
};

function randomChange(r: Random, v6: boolean): Change {
  const pool = WORLD.addresses.filter((address) => isV6(address) === v6 && !address.startsWith('::ffff'));
  return { side: r.pick(['src', 'dst'] as const), address: ipBytes(r.pick(pool)), port: r.pick(WORLD.ports) };
}

/** A UDP checksum that comes out as zero, which stands for "none" and may not be written (RFC 768). */
function provokeZero(frame: Buffer, packet: Parsed, change: Change): void {
  const at = packet.l4 + 6;
  if (packet.protocol !== 17 || packet.fragment === 'later' || frame.readUInt16BE(at) === 0) return;
  const sum = frame.readUInt16BE(at) + (~rewritten(frame, packet, change).readUInt16BE(at) & 0xffff);
  const wanted = (sum & 0xffff) + (sum >>> 16);
  if (wanted !== 0) frame.writeUInt16BE(wanted, at);
}

/** A TCP header that is cut behind its flags: its ports can be read, but its checksum is not there to follow. */
function endsBeforeChecksum(frame: Buffer, packet: Parsed): boolean {
  return packet.protocol === 6 && packet.fragment !== 'later' && packet.l4 + 18 > frame.length;
}

/** What the parser wrote down about a packet that reached the probe, where a change of one side leaves it as it was. */
function misread(packet: Parsed, work: SeenWork): string[] {
  const expected = {
    l3: packet.l3,
    vlan: packet.vlan ?? 0,
    l4: packet.l4,
    ttl: packet.ttl,
    l4Proto: packet.protocol,
    length: packet.length,
    ipv4: !packet.v6,
    ipv6: packet.v6,
    fragFirst: packet.fragment === 'first',
    fragLater: packet.fragment === 'later',
    icmpError: packet.isError,
    ports: packet.hasPorts,
    options: packet.hasOptions,
    multicast: packet.isMulticast,
    nd: packet.isNeighbourDiscovery,
  };
  const flag = (name: keyof typeof Flag) => (work.flags & Flag[name]) !== 0;
  const found: string[] = [];
  for (const [name, value] of Object.entries(expected)) {
    const actual = name in Flag ? flag(name as keyof typeof Flag) : work[name as keyof SeenWork];
    if (actual !== value) found.push(`${name}: model ${value}, kernel ${actual}`);
  }
  return found;
}

/** @param path another build of the object file, with a planted bug. */
export async function openRewriter(_: Random, path?: string): Promise<Subject> {
  const chain = await Chain.open();
  const cube = await chain.add({
    object: 'rewriter',
    ...(path === undefined ? {} : { path }),
    schema: SCHEMA,
    slot: 1,
  });
  chain.watch(1, 1);
  chain.attach({ kind: 'interface' }, cube, 0);
  const parser = new ParseModel();

  return {
    shoot(random) {
      const frame = randomFrame(random, WORLD);
      const parsed = parser.parse(frame);
      const config = Buffer.alloc(24);
      let change: Change | undefined;
      if (parsed.ok && parsed.packet.kind === 'ip') {
        const { packet } = parsed;
        // an ICMP of the other family is nothing that anybody rewrites
        if (packet.protocol === (packet.v6 ? 1 : 58)) return [];
        change = randomChange(random, packet.v6);
        // by its contract nobody gives an identifier to the side that has none
        if (!packet.hasPorts && !holdsIdentifier(packet, change.side)) change = { ...change, port: 0 };
        if (random.chance(0.1)) provokeZero(frame, packet, change);
        config.writeUInt32LE(change.side === 'src' ? 0 : 1, 0);
        config.writeUInt16BE(change.port, 4);
        const text = change.address.length === 4 ? [...change.address].join('.') : undefined;
        config.set(text === undefined ? change.address : mappedBytes(text), 8);
      } else if (parsed.ok) {
        return []; // no address of which a side could change
      }
      cube.map('rewriter_config').update(u32(0), config);
      const actual = chain.shoot(frame);
      const found: string[] = [];
      if (!parsed.ok || !change) {
        if (actual.verdict !== Verdict.drop) found.push('it should be dropped');
      } else {
        const { packet } = parsed;
        const withoutFirst = packet.fragment === 'later' && !packet.hasPorts && !parser.knows(packet);
        if (withoutFirst || endsBeforeChecksum(frame, packet)) {
          if (actual.verdict !== Verdict.drop) found.push('it cannot be changed, so it should be dropped');
        } else if (!actual.seen) {
          found.push('it should go out');
        } else {
          const expected = rewritten(frame, packet, change);
          found.push(...misread(packet, actual.seen.work));
          if (!sameBytes(actual.frame, expected, checksumsOf(packet)))
            found.push(`other bytes than ${expected.toString('hex')}`);
          const side = addressOf(mappedBytes(actual.seen.work[change.side]));
          if (side !== addressOf(change.address))
            found.push(`the tuple says ${actual.seen.work[change.side]}`);
        }
      }
      if (found.length === 0) return [];
      const how = change
        ? `${change.side} to ${change.address.toString('hex')} port ${change.port}`
        : 'not at all';
      return [
        ...found,
        `changed ${how}: ${frame.toString('hex')}`,
        `verdict ${actual.verdict}: ${actual.frame.toString('hex')}`,
      ];
    },
    sums: () => [],
    close: () => chain.close(),
  };
}
