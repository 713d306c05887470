// SPDX-License-Identifier: Apache-2.0
/** What neighbours say of themselves: answers, announcements and questions, true, false and broken. And what others send them. */
import { GATEWAY_MAC, ipBytes, mappedBytes } from '../support/bytes.ts';
import { arp, echo, ethernet, extension, icmp, ip, ipv6, linkLayerOption, udp } from '../support/packet.ts';
import { damaged } from './packets.ts';
import type { Random } from './random.ts';
import { HOST_MACS } from './resolve-config.ts';

const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const ODD_MACS = ['00:00:00:00:00:00', '33:33:00:00:00:01', BROADCAST, GATEWAY_MAC];

interface Link {
  /** Who speaks. */
  readonly address: string;
  /** Addresses of the router there. */
  readonly own: readonly string[];
}

/** A frame of the neighbour, or of somebody who says so. */
export function neighbourFrame(r: Random, link: Link): Buffer {
  const mac = r.chance(0.06) ? r.pick(ODD_MACS) : r.pick(HOST_MACS);
  const frame = link.address.includes(':') ? discovery(r, link, mac) : resolution(r, link, mac);
  return r.chance(0.1) ? damaged(r, frame, 0.6) : frame;
}

const HOSTS = {
  4: ['10.244.1.5', '10.244.1.9', '10.244.1.20', '10.244.2.9', '203.0.113.9', '192.168.7.1', '192.168.8.3'],
  6: [
    'fd00:244:1::5',
    'fd00:244:1::9',
    'fd00:244:1::20',
    'fd00:244:2::9',
    '2001:db8::9',
    'fd00:7::1',
    'fd00:7::3',
  ],
  more4: [
    '10.9.7.7',
    '10.9.7.8',
    '10.9.7.9',
    '10.9.7.10',
    '8.8.8.8',
    '10.244.1.1',
    '192.168.7.2',
    '172.16.5.5',
  ],
  more6: ['fd09::7', 'fd09::8', 'fd09::9', 'fd09::a', '2600::1', 'fd00:244:1::1', 'fd00:7::2', 'fd09::1'],
} as const;

/** Packets as hosts send them, a few to one destination, then to another: what waits, what goes out, what is answered. */
export class Traffic {
  #ends = { src: '10.244.1.5', dst: '10.9.7.7' };
  #left = 0;

  frame(r: Random): Buffer {
    if (this.#left-- <= 0) {
      this.#left = r.pick([0, 0, 1, 3, 6, 12]);
      const pool = r.chance(0.5) ? [...HOSTS[4], ...HOSTS.more4] : [...HOSTS[6], ...HOSTS.more6];
      this.#ends = { src: r.pick(pool), dst: r.pick(pool) };
    }
    const { src, dst } = this.#ends;
    const v6 = dst.includes(':');
    const payload = r.chance(0.02) ? r.between(2000, 2100) : r.pick([1, 20, 60]);
    const content = r.chance(0.4)
      ? echo({ v6, payload, id: r.below(9) })
      : udp({ sport: 1024, dport: 53, payload });
    const header = { src, dst, ttl: r.chance(0.04) ? r.pick([1, 2]) : 64 };
    const tag = r.chance(0.02) ? { vlan: 0 } : {};
    return ethernet({ src: r.pick(HOST_MACS), dst: GATEWAY_MAC, ...tag }, ip(header, content));
  }
}

function ofFamily({ address, own }: Link): string {
  const v6 = address.includes(':');
  return own.find((one) => one.includes(':') === v6) ?? (v6 ? 'fd00:7::2' : '192.168.7.2');
}

function resolution(r: Random, link: Link, mac: string): Buffer {
  const { address } = link;
  const target = r.pick([ofFamily(link), ofFamily(link), address, '10.244.1.9']);
  const operation = r.pick([2, 2, 2, 1, 1, 9]);
  const said = { operation, senderMac: mac, sender: address, targetMac: GATEWAY_MAC, target };
  const src = r.chance(0.1) ? r.pick(HOST_MACS) : mac;
  const tag = r.chance(0.04) ? { vlan: r.pick([0, 7]) } : {};
  return ethernet({ src, dst: operation === 2 ? GATEWAY_MAC : BROADCAST, ...tag }, arp(said));
}

/** Sometimes behind others, sometimes cut or empty. */
function optionsOf(r: Random, type: 1 | 2, mac: string): Buffer {
  const option = linkLayerOption(type, mac);
  switch (r.below(10)) {
    case 0:
      return Buffer.alloc(0);
    case 1:
      return Buffer.concat([Buffer.from([14, 1, 1, 2, 3, 4, 5, 6]), option]);
    case 2:
      return Buffer.concat([option, linkLayerOption(type, r.pick(HOST_MACS))]);
    case 3:
      return r.pick([Buffer.alloc(8), option.subarray(0, 6), linkLayerOption(type === 1 ? 2 : 1, mac)]);
    default:
      return option;
  }
}

function discovery(r: Random, link: Link, mac: string): Buffer {
  const own = ofFamily(link);
  const isAnswer = r.chance(0.6);
  const group = isAnswer ? 'ff02::1' : 'ff02::1:ff00:1';
  const dst = r.chance(isAnswer ? 0.75 : 0.4) ? own : group;
  const { address } = link;
  const flags = r.pick([0x60000000, 0x60000000, 0x40000000, 0x20000000, 0]);
  // an advertisement speaks of its target, which may be an IPv4 address to confuse us
  const about = r.chance(0.05)
    ? mappedBytes(r.pick(['192.168.7.1', '10.244.1.5', '10.9.7.7']))
    : ipBytes(address);
  const options = optionsOf(r, isAnswer ? 2 : 1, mac);
  const message = icmp({
    type: isAnswer ? 136 : 135,
    code: r.chance(0.04) ? 1 : 0,
    v6: true,
    rest: isAnswer ? flags : 0,
    payload: Buffer.concat([isAnswer ? about : ipBytes(r.pick([own, address, own])), options]),
    ...(r.chance(0.04) ? { checksum: r.below(65536) } : {}),
  });
  const header = {
    src: isAnswer && r.chance(0.2) ? 'fe80::9' : r.chance(0.03) ? '::' : address,
    dst,
    hopLimit: r.chance(0.04) ? 64 : 255,
    extensions: r.chance(0.03) ? [extension(60)] : [],
  };
  const src = r.chance(0.15) ? r.pick(HOST_MACS) : mac;
  const tag = r.chance(0.04) ? { vlan: r.pick([0, 7]) } : {};
  return ethernet(
    { src, dst: dst === own ? GATEWAY_MAC : '33:33:00:00:00:01', ...tag },
    ipv6(header, message),
  );
}
