// SPDX-License-Identifier: Apache-2.0
import {
  type BpfMap,
  type BpfObject,
  type BpfProgram,
  loadObject,
} from '../../src/dataplane/kernel/addon/index.ts';
import type { Chain, ChainCube } from '../kernel/support/chain.ts';
import { objectPath, SHARED, u32, Verdict } from '../kernel/support/chain.ts';

/** Bytes of a frame, of a key, and of a row: flows.h. */
export const FRAME = 80;
const KEY = 40;
const ROW = 192;
/** skb->pkt_type: of a frame for the device that it comes in by, and of one at the host's end of a pod's veth pair. */
export const PACKET_HOST = 0;
const PACKET_OTHERHOST = 3;
/** Packets that a program beside a chain is tried with. */
const PROOFS = 256;

/** A packet of a flow, and what the maps of cubes are asked by for it. */
export interface Packet {
  readonly frame: Uint8Array;
  readonly keys: readonly Uint8Array[];
}

/** Where a sender of new flows writes what makes each of them another one: two bytes of the frame and of its keys. */
export interface Fresh {
  readonly frame: number;
  readonly keys: readonly number[];
}

/** Sends packets of random flows, or of flows that are always new, to a program under BPF_PROG_TEST_RUN. */
export class Sender {
  readonly #object: BpfObject;
  readonly #program: BpfProgram;

  private constructor(object: BpfObject, program: BpfProgram) {
    this.#object = object;
    this.#program = program;
  }

  /** `fresh`: each packet opens a new flow; their number is a power of two then. */
  static async open(
    packets: readonly Packet[],
    fresh?: Fresh,
    packetType = PACKET_OTHERHOST,
  ): Promise<Sender> {
    const bits = Math.log2(packets.length);
    if (fresh && !Number.isInteger(bits)) throw new Error(`${packets.length} flows are no power of two`);
    const object = await loadObject({
      path: objectPath('flows'),
      variables: {
        flow_count: u32(packets.length),
        flow_bits: u32(fresh ? bits : 0),
        frame_off: u32(fresh?.frame ?? FRAME),
        first_off: u32(fresh?.keys[0] ?? KEY),
        second_off: u32(fresh?.keys[1] ?? KEY),
        packet_type: u32(packetType),
      },
    });
    const keys = Buffer.alloc(4 * packets.length);
    const rows = Buffer.alloc(ROW * packets.length);
    packets.forEach((packet, n) => {
      keys.writeUInt32LE(n, 4 * n);
      rows.set(packet.frame.subarray(0, FRAME), ROW * n);
      packet.keys.forEach((key, i) => {
        rows.set(key, ROW * n + FRAME + KEY * i);
      });
    });
    object.map('flows').updateBatchSync(keys, rows);
    return new Sender(object, object.program(fresh ? 'new_flow' : 'next_flow'));
  }

  /** A program that does nothing: what sending costs by itself. */
  get end(): BpfProgram {
    return this.#object.program('end');
  }

  /** Where a program finds the keys of the packet under way. */
  get sent(): BpfMap {
    return this.#object.map('sent');
  }

  /** ns of one packet, sending included. */
  time(program: BpfProgram, repeat: number): number {
    this.#object.map('next').setProgram(0, program);
    return this.#program.testRun({ dataIn: new Uint8Array(FRAME), repeat }).duration;
  }

  /** Throws unless a program beside a chain finds, or inserts, all that it means to: else its time says nothing. */
  prove(program: BpfProgram, name: string): void {
    this.#object.map('next').setProgram(0, program);
    for (let n = 0; n < PROOFS; n++) {
      const { retval } = this.#program.testRun({ dataIn: new Uint8Array(FRAME) });
      if (retval !== Verdict.ok) throw new Error(`${name} misses a row of its maps`);
    }
  }

  close(): void {
    this.#object.close();
  }
}

/** Objects with programs that do what cubes do with their maps. */
export type Fixture = 'lookups' | 'inserts' | 'ways';

/** Maps that each of them uses of a cube, by the names that the cube has for them. */
const MAPS: Record<Fixture, Readonly<Record<string, readonly string[]>>> = {
  lookups: {
    pass: ['port_counters'],
    load_balancer: ['port_counters', 'counters', 'established', 'backends'],
    nat: ['port_counters', 'counters', 'established', 'scratch'],
    firewall: ['port_counters', 'counters', 'established', 'rule_bank'],
    router: ['port_counters', 'counters', 'route_lengths', 'routes_hash'],
    bridge: ['port_counters', 'counters', 'vlans', 'fdb'],
    forwarder: ['port_counters', 'counters', 'rules', 'rule_counters'],
    mirror: ['port_counters', 'rules'],
    ddos_mitigator: ['port_counters', 'counters', 'lists', 'source_hosts', 'source_buckets'],
    rate_limiter: ['port_counters', 'counters', 'limits', 'buckets'],
  },
  inserts: {
    load_balancer: ['embryonic'],
    nat: ['embryonic'],
    firewall: ['embryonic'],
    bridge: ['fdb'],
    ddos_mitigator: ['source_buckets'],
  },
  ways: {
    load_balancer: [
      ...['port_counters', 'counters', 'established', 'embryonic'],
      ...['frontends', 'picks', 'backends', 'backend_counters', 'scratch'],
    ],
    nat: ['port_counters', 'counters', 'established', 'embryonic', 'matches', 'services'],
    firewall: [
      ...['port_counters', 'counters', 'established', 'embryonic', 'rule_bank', 'rulesets', 'addresses'],
      ...['address_lengths', 'pages', 'bitmaps', 'rules', 'rule_counters', 'classify_scratch'],
    ],
    router: ['port_counters', 'counters', 'route_lengths', 'routes_hash'],
  },
};

/** A program that does nothing but what cubes do with their maps. */
export interface Beside {
  readonly program: BpfProgram;
  close(): void;
}

/** Opens the program of this name of a fixture; it finds the keys of the sender's packets in the maps of these cubes. */
export async function openBeside(
  fixture: Fixture,
  name: string,
  sender: Sender,
  chain: Chain,
  cubes: readonly ChainCube[],
  variables: Readonly<Record<string, Uint8Array>> = {},
): Promise<Beside> {
  const reuseMaps: Record<string, BpfMap> = { sent: sender.sent };
  for (const name of SHARED) reuseMaps[name] = chain.shared(name);
  for (const cube of cubes) {
    const type = cube.name.replaceAll('-', '_');
    for (const map of MAPS[fixture][type] ?? []) reuseMaps[`${type}_${map}`] = cube.map(map);
  }
  const object = await loadObject({ path: objectPath(fixture), reuseMaps, variables });
  const program = object.program(name);
  sender.prove(program, `${fixture} of ${name}`);
  return { program, close: () => object.close() };
}
