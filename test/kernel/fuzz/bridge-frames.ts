// SPDX-License-Identifier: Apache-2.0
/**
 * Frames on a bridge: hosts that talk to each other from where they are, move, and speak to all; and frames as no host
 * sends them. What a frame is depends on the seed alone, never on what became of those before it.
 */
import { macBytes } from '../support/bytes.ts';
import { ethernet, ipv4, ipv6, tcp, udp } from '../support/packet.ts';
import type { Input, ModelBridge } from './bridge-model.ts';
import { randomFrame, type World } from './packets.ts';
import type { Random } from './random.ts';

const WORLD: World = {
  addresses: ['10.0.0.1', '10.0.0.2', '224.0.0.251', 'fd00::1', 'fd00::2', 'ff02::fb', 'fe80::1'],
  ports: [0, 53, 443, 40000],
  macs: ['02:00:00:00:00:01'],
};

export const HOSTS: readonly string[] = [
  ...Array.from({ length: 20 }, (_, i) => `02:b0:00:00:00:${(i + 1).toString(16).padStart(2, '0')}`),
  // each differs from another one, or from one with a meaning, by a bit
  '00:00:00:00:00:01',
  '00:00:00:00:01:00',
  '80:00:00:00:00:00',
  '00:80:c2:00:00:00',
  'fe:ff:ff:ff:ff:ff',
];

/** Group addresses, and the ones that are none or for nobody. */
const GROUPS: readonly string[] = [
  'ff:ff:ff:ff:ff:ff',
  'ff:ff:ff:ff:ff:ff',
  'ff:ff:ff:ff:ff:ff',
  'ff:ff:ff:ff:ff:fe',
  'ff:ff:ff:fe:ff:ff',
  '01:ff:ff:ff:ff:ff',
  '01:00:5e:00:00:fb',
  '33:33:00:00:00:fb',
  '01:80:c2:00:00:10',
  '01:80:c2:00:01:00',
  '01:80:c2:01:00:00',
  '03:80:c2:00:00:00',
];
const RESERVED: readonly string[] = [
  '01:80:c2:00:00:00',
  '01:80:c2:00:00:01',
  '01:80:c2:00:00:0e',
  '01:80:c2:00:00:0f',
];
const NOBODY: readonly string[] = ['00:00:00:00:00:00', '02:b0:00:00:ff:01', '02:b0:00:00:ff:02'];

const MACS = new Map([...HOSTS, ...GROUPS, ...RESERVED, ...NOBODY].map((mac) => [mac, macBytes(mac)]));

/** VLANs of frames that belong to none of the port's. */
const STRAY = [0, 1, 2, 10, 20, 21, 30, 4094, 4095];

/** Contents of well-made frames, of both families and of none. */
const CONTENTS: readonly Buffer[] = [
  ethernet({}, ipv4({ src: '10.0.0.1', dst: '10.0.0.2' }, udp({ sport: 1, dport: 2, payload: 20 }))),
  ethernet({}, ipv6({ src: 'fd00::1', dst: 'fd00::2' }, udp({ sport: 1, dport: 2, payload: 20 }))),
  ethernet({}, ipv4({ src: '10.0.0.1', dst: '10.0.0.2' }, tcp({ sport: 1, dport: 2, payload: 60 }))),
  ethernet({}, Buffer.from('of no protocol that anybody knows')),
  ethernet({ etherType: 60 }, Buffer.alloc(60, 0xaa)),
  ethernet({}, Buffer.alloc(0)),
];

interface Host {
  port: number;
  vlan: number;
}

export class Segment {
  readonly #hosts = new Map<string, Host>();

  /** `config` only says which ports and VLANs there are. */
  next(r: Random, config: ModelBridge, shared: boolean): Input {
    const src = this.#source(r);
    const host = this.#hostOf(r, config, src);
    const stray = r.chance(0.04);
    const port = stray ? r.below(config.ports.length) : host.port;
    const { content, segment } = this.#content(r, config);
    const vlan = r.chance(0.05) ? r.pick(STRAY) : host.vlan;
    const base = Buffer.from(content);
    base.set(this.#bytes(this.#destination(r, { port, vlan })), 0);
    base.set(this.#bytes(src), 6);
    const tagging = this.#tag(r, config, port, vlan);
    const stacked =
      tagging.inside && segment === undefined && r.chance(0.05)
        ? withTag(base, r.pick([0x8100, 0x88a8]), r.pick(STRAY))
        : base;
    const common = { port, shared, dry: false, ...(segment === undefined ? {} : { segment }) };
    if (tagging.tci === undefined) return { ...common, frame: stacked };
    if (tagging.inside && segment === undefined)
      return { ...common, frame: withTag(stacked, 0x8100, tagging.tci) };
    const type = r.chance(0.02) ? 0x88a8 : 0x8100;
    const inner = r.chance(0.04) ? withTag(base, r.pick([0x8100, 0x88a8]), r.pick(STRAY)) : base;
    return { ...common, frame: segment === undefined ? inner : base, tag: { type, tci: tagging.tci } };
  }

  #source(r: Random): string {
    if (r.chance(0.02)) return r.pick([...GROUPS, ...NOBODY]);
    return r.pick(HOSTS);
  }

  /** Somebody of the same VLAN mostly, or who was never heard. */
  #destination(r: Random, from: Host): string {
    if (r.chance(0.14)) return r.pick(GROUPS);
    if (r.chance(0.02)) return r.pick(RESERVED);
    if (r.chance(0.05)) return r.pick(NOBODY);
    for (let tries = 0; tries < 5; tries++) {
      const one = r.pick(HOSTS);
      const place = this.#hosts.get(one);
      if (place?.vlan === from.vlan && place.port !== from.port) return one;
    }
    return r.pick(HOSTS);
  }

  #bytes(mac: string): Buffer {
    return MACS.get(mac) ?? macBytes(mac);
  }

  /** Where a host is: it moves now and then, and has to when its port or its VLAN is gone. */
  #hostOf(r: Random, config: ModelBridge, mac: string): Host {
    const old = this.#hosts.get(mac);
    if (old && !r.chance(0.04) && config.ports[old.port]?.vlans.has(old.vlan)) return old;
    const port = r.below(config.ports.length);
    const vlans = [...(config.ports[port]?.vlans ?? [])].slice(0, 40);
    const host = { port, vlan: vlans.length === 0 ? 1 : r.pick(vlans) };
    this.#hosts.set(mac, host);
    return host;
  }

  #content(r: Random, config: ModelBridge): { content: Buffer; segment?: number } {
    if (r.chance(0.3)) return { content: randomFrame(r, WORLD) };
    if (r.chance(0.08)) return this.#aroundMtu(r, config);
    return { content: r.pick(CONTENTS) };
  }

  /** As long as some port takes, a byte more, a byte less; or many segments of such a length in one. */
  #aroundMtu(r: Random, config: ModelBridge): { content: Buffer; segment?: number } {
    const mtus = config.ports.flatMap(({ mtu }) => (mtu === undefined ? [] : [mtu]));
    const mtu = mtus.length === 0 ? 1500 : r.pick(mtus);
    const v6 = r.chance(0.5);
    const headers = (v6 ? 40 : 20) + 20;
    const segment = mtu - headers + r.between(-1, 1);
    const whole = r.chance(0.3);
    const part = tcp({ sport: 1, dport: 2, payload: whole ? segment * 2 + 3 : segment });
    const content = ethernet(
      {},
      v6 ? ipv6({ src: 'fd00::1', dst: 'fd00::2' }, part) : ipv4({ src: '10.0.0.1', dst: '10.0.0.2' }, part),
    );
    return whole ? { content, segment } : { content };
  }

  /** The tag that such a frame carries, and whether it is still inside. */
  #tag(r: Random, config: ModelBridge, port: number, vlan: number): { tci?: number; inside: boolean } {
    const setting = config.ports[port];
    const inside = r.chance(0.3);
    const priority = r.chance(0.3) ? r.below(16) << 12 : 0;
    if (r.chance(0.02)) return { tci: priority | r.pick(STRAY), inside };
    if (setting?.native === vlan && !r.chance(0.1)) {
      // without a tag, or with one that says a priority alone
      return r.chance(0.15) ? { tci: priority, inside } : { inside };
    }
    if (setting?.isAccess) return r.chance(0.2) ? { tci: priority | vlan, inside } : { inside };
    return { tci: priority | vlan, inside };
  }
}

function withTag(frame: Buffer, type: number, tci: number): Buffer {
  const tag = Buffer.alloc(4);
  tag.writeUInt16BE(type, 0);
  tag.writeUInt16BE(tci, 2);
  return Buffer.concat([frame.subarray(0, 12), tag, frame.subarray(12)]);
}
