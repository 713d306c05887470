// SPDX-License-Identifier: Apache-2.0

/**
 * A mirror with random rules, in the kernel and as a model, with interfaces that its copies really leave by. Runs inside a network
 * namespace that has them ({@link DEVICES}). A change is another instance in the other slot, to which the graph is led.
 *
 * Which packets are sampled, the kernel decides: of each it must be one of the permitted outcomes, and of all together the share
 * that the rules ask for. Not here: offloaded checksums and segments, with which BPF_PROG_TEST_RUN makes no packets that an
 * interface takes (test/netns/mirror-truncate.test.ts has them), and that first fragments are forgotten after 30 seconds.
 */
import type { Mirror, MirrorRule } from '../../../src/api/generated/types.ts';
import type { CubeInput } from '../../../src/cubes/cube-type.ts';
import { schema } from '../../../src/cubes/mirror/schema.ts';
import { mirror } from '../../../src/cubes/mirror/type.ts';
import { Chain, type ChainCube, sumPerCpu, u32, Verdict } from '../support/chain.ts';
import { apply, NODE } from '../support/router.ts';
import { add, compareSums, type Subject } from './campaign.ts';
import { withCodePoint } from './code-points.ts';
import { Conversations } from './conversations.ts';
import { type Facts, FactsModel } from './match-model.ts';
import { lengthsOf, type MirrorDecision, MirrorModel } from './mirror-model.ts';
import type { Random } from './random.ts';
import { MARKS, randomMatch, WORLD } from './random-match.ts';
import type { Samples } from './samples.ts';
import type { Copy, Taps } from './taps.ts';

/** Interfaces for copies, the last of which is down. */
export const DEVICES = ['first', 'second', 'third', 'lost'] as const;

/** Where the ports for copies lead; a device by its name. */
const COPY_PORTS = [
  { id: 2, name: 'first', to: 'first' },
  { id: 3, name: 'second', to: 'second' },
  { id: 33, name: 'last', to: 'third' },
  { id: 4, name: 'lost', to: 'lost' },
  { id: 5, name: 'gone', to: 'gone' },
  { id: 6, name: 'unlinked', to: undefined },
] as const;
const CAUGHT = COPY_PORTS.slice(0, 3);
const LOST = COPY_PORTS.slice(3);
const NO_DEVICE = 0x7ffffff0;

const PORTS = [{ id: 0, name: 'outside' }, { id: 1, name: 'inside' }, ...COPY_PORTS].map(({ id, name }) => ({
  id,
  name,
  addresses: [],
  endpoint: 'Interface' as const,
}));

const LENGTHS = [64, 65, 74, 80, 100, 128, 215, 1500, 65535] as const;
const SHARES = [2, 4, 10] as const;
/** Number of the counter. */
const NOT_SAMPLED = 3;

function randomRule(r: Random): MirrorRule {
  // whether a copy was sent that nobody takes, the counters say only together with all others
  const oneIn = r.chance(0.3) ? r.pick(SHARES) : 1;
  return {
    ...randomMatch(r),
    direction: r.pick(['Ingress', 'Egress', 'Both', 'Both'] as const),
    oneIn,
    port: r.pick(oneIn === 1 && r.chance(0.3) ? LOST : CAUGHT).name,
    ...(r.chance(0.6) ? { truncate: r.pick(LENGTHS) } : {}),
  };
}

const inputOf = (spec: Mirror): CubeInput<Mirror> => ({
  namespace: 'test',
  name: 'mirror',
  uid: 'u',
  spec,
  ports: PORTS,
});

/** Rules that are not refused, for no packet or too many rows. */
function randomSpec(r: Random): Mirror {
  const isAccepted = (rules: MirrorRule[]) => mirror.check(inputOf({ rules })).length === 0;
  const count = r.chance(0.1) ? r.between(30, 64) : r.between(0, 8);
  const rules = Array.from({ length: count }, () => randomRule(r)).filter((rule) => isAccepted([rule]));
  while (!isAccepted(rules)) rules.length >>= 1;
  return { rules };
}

interface PortSums {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
}

class Revision {
  readonly cube: ChainCube;
  readonly spec: Mirror;
  readonly model: MirrorModel;
  readonly sums = new Map<string, number>();
  readonly #ports = new Map<number, PortSums>();

  constructor(cube: ChainCube, spec: Mirror) {
    this.cube = cube;
    this.spec = spec;
    this.model = new MirrorModel(spec);
  }

  #port(id: number): PortSums {
    const sums = this.#ports.get(id) ?? { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 };
    this.#ports.set(id, sums);
    return sums;
  }

  received(port: number, length: number): void {
    const sums = this.#port(port);
    sums.rxPackets += 1;
    sums.rxBytes += length;
  }

  sent(port: number, length: number): void {
    const sums = this.#port(port);
    sums.txPackets += 1;
    sums.txBytes += length;
  }

  /** Of the kernel. */
  notSampled(): number {
    return sumPerCpu(this.cube.map('counters').lookup(u32(NOT_SAMPLED)) ?? Buffer.alloc(0), 1)[0] ?? 0;
  }

  counted(): Map<string, number> {
    return new Map([...this.cube.tally()].map(([name, n]) => [name.replace(/mirror(@\d+)? /, ''), n]));
  }

  differences(): string[] {
    const found = compareSums(this.sums, this.counted());
    for (const { id, name } of PORTS) {
      const [model, kernel] = [this.#port(id), this.cube.port(id)].map((sums) => JSON.stringify(sums));
      if (model !== kernel) found.push(`port ${name}: model ${model}, kernel ${kernel}`);
    }
    return found;
  }
}

export interface MirrorOptions {
  /** Ifindex of each of {@link DEVICES} here. */
  readonly devices: Readonly<Record<(typeof DEVICES)[number], number>>;
  /** At those that are up. */
  readonly taps: Taps;
  /** Another build of the object file, with a planted bug. */
  readonly path?: string;
  /** Gets the drop reasons and counters that occurred. */
  readonly seen: Set<string>;
  readonly samples: Samples;
}

export async function openMirror(r: Random, options: MirrorOptions): Promise<Subject> {
  const { devices, taps, path, seen, samples } = options;
  const chain = await Chain.open();
  const catcher = await taps.attach(chain);
  const facts = new FactsModel();
  const frames = new Conversations(WORLD);
  const entry = new Map<string, number>();
  const late: string[] = [];

  const load = async (random: Random, slot: number): Promise<Revision> => {
    const input = inputOf(randomSpec(random));
    const { rodata } = mirror.instance(input, NODE);
    const cube = await chain.add({
      object: 'mirror',
      schema,
      slot,
      variables: rodata,
      ...(path === undefined ? {} : { path }),
    });
    const image = mirror.image(input, NODE);
    image.settle();
    apply(cube, image.take());
    chain.watch(slot, 0, 1);
    for (const { id, to } of COPY_PORTS) {
      if (to === undefined) chain.edge(slot, id, { kind: 'none' });
      else chain.edge(slot, id, { kind: 'device', target: to === 'gone' ? NO_DEVICE : devices[to] });
    }
    return new Revision(cube, input.spec);
  };
  let now = await load(r, 1);
  let port = PORTS[0] as (typeof PORTS)[number];
  const enterBy = (random: Random) => {
    port = random.chance(0.1) ? random.pick(PORTS) : random.pick(PORTS.slice(0, 2));
    chain.attach({ kind: 'interface' }, now.cube, port.id);
  };
  enterBy(r);

  return {
    shoot(random) {
      if (random.chance(0.2)) enterBy(random);
      const frame = withCodePoint(random, frames.next(random));
      const mark = random.pick(MARKS);
      const actual = chain.shoot(frame, { mark });
      const caught = catcher.take();
      const known = facts.read(frame, mark);
      const differences = [...late];
      if (!actual.frame.equals(frame)) differences.push('other bytes');
      let decision: MirrorDecision | undefined;
      if (typeof known === 'string') {
        add(entry, `drop entry ${known}`);
        if (actual.verdict !== Verdict.drop) differences.push(`the entry should drop it: ${known}`);
      } else if (port.id > 1) {
        now.received(port.id, frame.length);
        add(now.sums, 'drop FromCopyPort');
        if (actual.verdict !== Verdict.drop || actual.seen) differences.push('it should end here');
      } else {
        const out = port.id === 0 ? 1 : 0;
        now.received(port.id, frame.length);
        now.sent(out, frame.length);
        const { seen: next } = actual;
        if (actual.verdict !== Verdict.ok || next?.port !== out)
          differences.push(`it should leave by ${out}`);
        else if (next.epoch !== chain.epoch || !isKept(next.work, known))
          differences.push('the next cube finds another packet');
        decision = now.model.decide(known, port.name as 'outside' | 'inside');
        differences.push(...copied({ decision, known, frame, caught }));
      }
      if (decision === undefined && caught.length > 0) differences.push(`${caught.length} copies of it`);
      if (differences.length === 0) return [];
      return [
        ...differences,
        `in by ${port.name}, mark ${mark}: ${frame.toString('hex')}`,
        `model:  ${JSON.stringify([...(decision?.copies ?? [])])}; rules ${JSON.stringify(now.spec)}`,
        `kernel: verdict ${actual.verdict}, port ${actual.seen?.port ?? 'none'}, copies ${caught
          .map((copy) => `${copy.ifindex} ${copy.frame.toString('hex')}`)
          .join(', ')}`,
      ];
    },
    sums() {
      const counted = [...chain.tally()].filter(([name]) => name.startsWith('drop entry'));
      for (const name of [...entry.keys(), ...now.counted().keys()]) seen.add(name);
      const improbable = samples.improbable();
      return [...late, ...compareSums(entry, new Map(counted)), ...now.differences(), ...improbable];
    },
    async change(random) {
      const before = now;
      now = await load(random, before.cube.slot === 1 ? 2 : 1);
      chain.attach({ kind: 'interface' }, now.cube, port.id);
      for (const name of before.counted().keys()) seen.add(name);
      late.push(...before.differences());
      chain.remove(before.cube);
    },
    close() {
      catcher.close();
      chain.close();
    },
  };

  /** Of what the copies are, and of what the counters should say. */
  function copied(shot: {
    decision: MirrorDecision;
    known: Facts;
    frame: Buffer;
    caught: readonly Copy[];
  }): string[] {
    const { decision, known, frame } = shot;
    const found: string[] = [];
    const caught = [...shot.caught];
    if (decision.matched) add(now.sums, 'count matched');
    let [least, most] = [0, 0];
    for (const { id, name, to } of COPY_PORTS) {
      const copies = decision.copies.get(name);
      if (!copies) continue;
      if (to !== 'first' && to !== 'second' && to !== 'third') {
        add(now.sums, 'count copyFailures');
        continue;
      }
      const lengths = lengthsOf(copies, frame, known.packet);
      const at = caught.findIndex(
        (copy) =>
          copy.ifindex === devices[to] &&
          lengths.includes(copy.frame.length) &&
          copy.frame.equals(frame.subarray(0, copy.frame.length)),
      );
      const [copy] = at < 0 ? [] : caught.splice(at, 1);
      const { always, sampled } = copies;
      if (copy) {
        add(now.sums, 'count copies');
        now.sent(id, copy.frame.length);
      } else if (always.length > 0) {
        found.push(`no copy to ${name} of one of the lengths ${lengths}`);
      }
      least += copy ? 0 : sampled.length;
      most += sampled.length - (copy && always.length === 0 ? 1 : 0);
      const [one, ...others] = sampled;
      if (one && others.length === 0 && always.length === 0) samples.add(one.oneIn, copy !== undefined);
    }
    if (caught.length > 0) found.push(`${caught.length} copies that nobody asked for`);
    if (most > 0) {
      // one that nobody looked at yet is found below, as it is too much for this packet or for all
      const before = now.sums.get('count notSampled') ?? 0;
      const more = now.notSampled() - before;
      if (more < least || more > most) found.push(`notSampled ${more}, not ${least} to ${most}`);
      now.sums.set('count notSampled', before + more);
    }
    return found;
  }
}

/** Whether the work area is that of the packet, whatever the way of its copies did to it. */
function isKept(work: NonNullable<ReturnType<Chain['shoot']>['seen']>['work'], { packet }: Facts): boolean {
  if (work.l3 !== packet.l3) return false;
  return packet.kind !== 'ip' || (work.l4 === packet.l4 && work.l4Proto === packet.protocol);
}
