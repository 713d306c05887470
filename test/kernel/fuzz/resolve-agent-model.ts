// SPDX-License-Identifier: Apache-2.0
/**
 * The agent's half of a router that finds MACs itself: RFC 4861 7.2 and 7.3 for both families, RFC 7048 for those that
 * have gone silent, and the bounds of ADR 23. Shares no code with src/cubes/router.
 */
import { GATEWAY_MAC, ipBytes } from '../support/bytes.ts';
import { arp, ethernet, ipv6, linkLayerOption, solicitation } from '../support/packet.ts';
import type { Said } from './heard-model.ts';
import { textOf } from './neighbour-model.ts';
import { type Address, isMapped } from './parse-model.ts';
import type { ModelResolving, OwnPrefix } from './resolve-config.ts';
import { keyOf } from './resolve-program-model.ts';
import type { Resumed } from './router-model.ts';

/** Seconds and counts of RFC 4861 10; the others are the router's own. */
const RETRANSMIT = 1;
const ASKED_MOST = 3;
const FAILED_FOR = 5;
const UNUSED_FOR = 60;
/** ADR 23: packets that wait for a neighbour. */
const WAITING_MOST = 4;

export interface Waiting {
  readonly port: number;
  readonly frame: Buffer;
}

export interface Sent extends Waiting {
  /** `out`: a question. */
  readonly how: Resumed | 'out';
}

interface Entry {
  readonly port: number;
  readonly address: Address;
  state: 'Incomplete' | 'Known' | 'Probed' | 'Failed' | 'Static';
  mac: string | undefined;
  waiting: Waiting[];
  asked: number;
  dueAt: number;
  /** Reachable until then, stale from then on. */
  staleAt: number;
}

export interface WantedRow {
  readonly state: 'Incomplete' | 'Resolved' | 'Failed' | 'Static';
  readonly mac: string | undefined;
  /** Seconds. */
  readonly staleAt: number;
}

/** Seconds of the agent's clock, which goes on from the kernel's. */
export class AgentModel {
  readonly #config: ModelResolving;
  readonly #entries = new Map<string, Entry>();
  /** Those without a MAC, in the order in which they lost it. */
  readonly #nameless = new Set<Entry>();
  #sent: Sent[] = [];

  constructor(config: ModelResolving) {
    this.#config = config;
    for (const { port, address, mac } of config.statics)
      this.#enter(port, address, 'Static', mac, Infinity, Infinity);
  }

  /** Of a router before this one, by its row. */
  adopt(port: number, address: Address, mac: string, staleAt: number, now: number): void {
    if (this.#entries.has(keyOf(port, address)) || this.#entries.size >= this.#config.max) return;
    this.#enter(port, address, 'Known', mac, staleAt, Math.max(staleAt, now) + UNUSED_FOR);
  }

  takeSent(): Sent[] {
    const sent = this.#sent;
    this.#sent = [];
    return sent;
  }

  rows(): Map<string, WantedRow> {
    return new Map(
      [...this.#entries].map(([key, { state, mac, staleAt }]) => [
        key,
        { state: state === 'Known' || state === 'Probed' ? 'Resolved' : state, mac, staleAt },
      ]),
    );
  }

  /** A packet whose next hop has no MAC. Without one only the question is asked. */
  unresolved(port: number, address: Address, packet: Waiting | undefined, now: number): void {
    const entry = this.#entries.get(keyOf(port, address));
    if (entry?.state === 'Failed') this.#resume(packet, 'unreachable');
    else if (entry?.state === 'Incomplete') this.#wait(entry, packet);
    else if (entry) this.#resume(packet, 'send');
    else if (this.#sourceOf(port, address) === undefined) this.#resume(packet, 'unreachable');
    else if (!this.#makeRoom(now)) this.#resume(packet, 'discard');
    else {
      const fresh = this.#enter(port, address, 'Incomplete', undefined, Infinity, now + RETRANSMIT);
      this.#nameless.add(fresh);
      this.#wait(fresh, packet);
      this.#ask(fresh);
    }
  }

  /** 7.3.3: a stale one is used on and probed. */
  stale(port: number, address: Address, now: number): void {
    const entry = this.#entries.get(keyOf(port, address));
    if (entry?.state !== 'Known' || now < entry.staleAt - 0.1) return;
    entry.state = 'Probed';
    entry.asked = 0;
    entry.dueAt = now + RETRANSMIT;
    this.#ask(entry);
  }

  /** 7.2.5, and 7.2.3 for requests, which override and are not solicited. */
  heard(port: number, said: Said, now: number): void {
    const entry = this.#entries.get(keyOf(port, said.address));
    // the router's own MAC is nobody else's
    if (!entry || entry.state === 'Static' || said.mac === GATEWAY_MAC) return;
    if (entry.state === 'Incomplete' || entry.state === 'Failed') {
      if (said.mac === undefined) return;
      this.#know(entry, said.mac, said.solicited, now);
      for (const packet of entry.waiting.splice(0)) this.#resume(packet, 'send');
      return;
    }
    const differs = said.mac !== undefined && said.mac !== entry.mac;
    if (differs && !said.override) {
      const isReachable = entry.state === 'Known' && entry.staleAt > now;
      if (isReachable) this.#know(entry, entry.mac, false, now);
    } else if (said.solicited || differs) {
      this.#know(entry, said.mac ?? entry.mac, said.solicited, now);
    }
  }

  tick(now: number): void {
    for (const entry of [...this.#entries.values()]) {
      if (entry.dueAt > now) continue;
      if (entry.state === 'Known' || entry.state === 'Failed') this.#forget(entry);
      else if (entry.asked < ASKED_MOST) this.#askAgain(entry, now);
      else if (entry.state === 'Probed') this.#askAll(entry, now);
      else this.#fail(entry, now);
    }
  }

  #askAgain(entry: Entry, now: number): void {
    entry.dueAt = now + RETRANSMIT;
    this.#ask(entry);
  }

  /** RFC 7048: before it is given up, everybody is asked. */
  #askAll(entry: Entry, now: number): void {
    entry.state = 'Incomplete';
    entry.asked = 0;
    this.#nameless.add(entry);
    this.#askAgain(entry, now);
  }

  #fail(entry: Entry, now: number): void {
    entry.state = 'Failed';
    entry.mac = undefined;
    entry.dueAt = now + FAILED_FOR;
    for (const packet of entry.waiting.splice(0)) this.#resume(packet, 'unreachable');
  }

  #know(entry: Entry, mac: string | undefined, isConfirmed: boolean, now: number): void {
    this.#nameless.delete(entry);
    entry.state = 'Known';
    entry.mac = mac;
    entry.staleAt = now + (isConfirmed ? this.#config.reachableSeconds : 0);
    entry.dueAt = now + this.#config.reachableSeconds + UNUSED_FOR;
  }

  #enter(
    port: number,
    address: Address,
    state: Entry['state'],
    mac: string | undefined,
    staleAt: number,
    dueAt: number,
  ): Entry {
    const entry: Entry = { port, address, state, mac, waiting: [], asked: 0, dueAt, staleAt };
    this.#entries.set(keyOf(port, address), entry);
    return entry;
  }

  #forget(entry: Entry): void {
    this.#entries.delete(keyOf(entry.port, entry.address));
    this.#nameless.delete(entry);
  }

  #resume(packet: Waiting | undefined, how: Resumed): void {
    if (packet) this.#sent.push({ ...packet, how });
  }

  #wait(entry: Entry, packet: Waiting | undefined): void {
    if (!packet) return;
    entry.waiting.push(packet);
    if (entry.waiting.length > WAITING_MOST) this.#resume(entry.waiting.shift(), 'discard');
  }

  /** ADR 23: those that do not answer are half of the table at most, and one in use leaves it for nobody. */
  #makeRoom(now: number): boolean {
    const { max } = this.#config;
    if (this.#nameless.size >= Math.floor(max / 2)) {
      const failed = [...this.#nameless].find(({ state }) => state === 'Failed');
      if (!failed) return false;
      this.#forget(failed);
    }
    if (this.#entries.size < max) return true;
    const spare = [...this.#entries.values()].find(
      ({ state, staleAt }) => state === 'Failed' || (state === 'Known' && staleAt <= now),
    );
    if (spare) this.#forget(spare);
    return spare !== undefined;
  }

  /** RFC 4861 7.2.2: an address of the router on that link, best of the same prefix. */
  #sourceOf(port: number, address: Address): Address | undefined {
    const all = (this.#config.ports.get(port) ?? []).filter(
      (own) => isMapped(own.address) === isMapped(address),
    );
    const holds = ({ address: own, length }: OwnPrefix) =>
      own >> BigInt(128 - length) === address >> BigInt(128 - length);
    return (all.find(holds) ?? all[0])?.address;
  }

  #ask(entry: Entry): void {
    entry.asked++;
    const { port, address, mac } = entry;
    const source = this.#sourceOf(port, address);
    if (source === undefined) return;
    const to = entry.state === 'Probed' ? mac : undefined;
    this.#sent.push({ port, how: 'out', frame: question(textOf(address), textOf(source), to) });
  }
}

function question(target: string, source: string, mac: string | undefined): Buffer {
  if (!target.includes(':')) {
    const asks = { operation: 1, senderMac: GATEWAY_MAC, sender: source, target };
    return ethernet({ src: GATEWAY_MAC, dst: mac ?? 'ff:ff:ff:ff:ff:ff' }, arp(asks));
  }
  const low = ipBytes(target).subarray(13);
  const text = low.toString('hex');
  const group = `ff02::1:ff${text.slice(0, 2)}:${text.slice(2)}`;
  const groupMac = `33:33:ff:${[...low].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`;
  const dst = mac === undefined ? group : target;
  return ethernet(
    { src: GATEWAY_MAC, dst: mac ?? groupMac },
    ipv6({ src: source, dst, hopLimit: 255 }, solicitation(target, linkLayerOption(1, GATEWAY_MAC))),
  );
}
