// SPDX-License-Identifier: Apache-2.0

/**
 * What the chain itself costs a packet: the entry, and each cube more. Counters are on, as they always are. By what is known of its flow,
 * as nearly all packets go, and `asked`: through each cube, as the first one of each second does.
 */
import { type BpfObject, loadObject } from '../../../src/dataplane/kernel/addon/index.ts';
import { Chain, type ChainCube, u32 } from '../../kernel/support/chain.ts';
import { Calibration } from '../calibration.ts';
import { FLOW_RECORDS } from '../load.ts';
import type { Suite, SuiteOptions } from '../main.ts';
import { interleave, type Measure, measureOf, ratios } from '../measure.ts';

const OBJECTS = new URL('../../../build/bpf/', import.meta.url).pathname;
/** The interface that BPF_PROG_TEST_RUN says the packet came from. */
const LOOPBACK = 1;
/** Cubes in a row. */
const LENGTHS = [1, 4, 8, 30] as const;
/** Of these no more than one record holds, FLOW_STEPS. */
const KNOWN = [1, 3, 6] as const;
/** The lengths that one cube more is taken from. */
const CHAIN = { asked: 8, known: 6 } as const;
const LONGEST = 30;
/** ns of one cube more. */
const GOAL = 10;

/** An Ethernet frame with a bare TCP ACK in it. */
const PACKETS: Readonly<Record<string, Buffer>> = {
  ipv4: Buffer.from(
    '0200000000010200000000020800' +
      '4500002800004000400600000a0000010a000002' +
      '1234005000000000000000005010ffff00000000',
    'hex',
  ),
  ipv6: Buffer.from(
    '02000000000102000000000286dd' +
      '6000000000140640fd000000000000000000000000000001fd000000000000000000000000000002' +
      '1234005000000000000000005010ffff00000000',
    'hex',
  ),
};
const DESTINATIONS = ['10.0.0.2', 'fd00::2'];

/** Up to {@link LONGEST} cubes that do nothing, and a pod behind the last. */
class Row {
  readonly chain: Chain;
  readonly #cubes: readonly ChainCube[];

  private constructor(chain: Chain, cubes: readonly ChainCube[]) {
    this.chain = chain;
    this.#cubes = cubes;
  }

  static async open(): Promise<Row> {
    const chain = await Chain.open({ flows: FLOW_RECORDS });
    try {
      const cubes: ChainCube[] = [];
      for (let slot = 1; slot <= LONGEST; slot++) cubes.push(await chain.addPass(slot));
      for (const address of DESTINATIONS) chain.addPod(address, LOOPBACK);
      chain.attach({ kind: 'interface' }, cubes[0]);
      return new Row(chain, cubes);
    } catch (error) {
      chain.close();
      throw error;
    }
  }

  /** ns of a packet through the first `length` cubes, for each of `repeat` packets of one flow. */
  time(length: number, isKnown: boolean, dataIn: Buffer, repeat: number): number {
    const cubes = this.#cubes.slice(0, length);
    cubes.forEach((cube, index) => {
      const next = cubes[index + 1];
      if (next) this.chain.link(cube, 1, next, 0);
      else this.chain.edge(cube.slot, 1, { kind: 'pod' });
    });
    this.chain.keepFlows(isKnown ? FLOW_RECORDS : 0);
    const before = this.chain.flows().replayed;
    const { duration } = this.chain.entry.testRun({ dataIn, repeat });
    const replayed = this.chain.flows().replayed - before;
    // the first few of each second are asked about
    if (isKnown ? replayed < 0.99 * repeat : replayed > 0)
      throw new Error(`${replayed} of ${repeat} packets went by what is known of their flow`);
    return duration;
  }
}

async function run({ quick, say }: SuiteOptions): Promise<readonly Measure[]> {
  const rounds = quick ? 7 : 31;
  const repeat = quick ? 200_000 : 1_000_000;
  const objects: BpfObject[] = [];
  const calibration = await Calibration.open();
  let row: Row | undefined;
  try {
    row = await Row.open();
    const { time } = row;
    const bare = await loadObject({ path: `${OBJECTS}wire.o`, variables: { target: u32(LOOPBACK) } });
    objects.push(bare);
    const flows = await loadObject({ path: `${OBJECTS}flows.o` });
    objects.push(flows);
    const measures: Measure[] = [];
    for (const [family, dataIn] of Object.entries(PACKETS)) {
      const alternatives: Record<string, () => number> = {
        empty: () => flows.program('end').testRun({ dataIn, repeat }).duration,
        redirect: () => bare.program('wire').testRun({ dataIn, repeat }).duration,
        hop: () => calibration.hop(dataIn, repeat),
      };
      for (const [kind, lengths] of [
        ['asked', LENGTHS],
        ['known', KNOWN],
      ] as const)
        for (const length of lengths)
          alternatives[`${kind}-${length}`] = time.bind(row, length, kind === 'known', dataIn, repeat);
      const values = await interleave(rounds, alternatives, (round) =>
        say(`${family}: round ${round} of ${rounds}`),
      );
      const of = (name: string): number[] => values[name] as number[];
      const head = (name: string, unit: 'ns' | 'ratio' = 'ns') =>
        ({ name: `chain.${name}.${family}`, unit, better: 'lower' }) as const;
      /** One cube more, of a chain of so many. */
      const each = (kind: 'asked' | 'known'): number[] =>
        of(`${kind}-${CHAIN[kind]}`).map(
          (ns, index) => (ns - (of(`${kind}-1`)[index] as number)) / (CHAIN[kind] - 1),
        );
      measures.push(
        measureOf(head('empty-program'), of('empty')),
        measureOf(head('bare-redirect'), of('redirect')),
        ...KNOWN.map((length) => measureOf(head(`length-${length}`), of(`known-${length}`))),
        ...LENGTHS.map((length) => measureOf(head(`length-${length}-asked`), of(`asked-${length}`))),
        measureOf(head('minimal-hop'), of('hop')),
        measureOf({ ...head('one-more-cube'), goal: GOAL }, each('known')),
        measureOf(head('one-more-cube-asked'), each('asked')),
        measureOf(head('one-more-cube-asked/minimal-hop', 'ratio'), ratios(each('asked'), of('hop'))),
      );
    }
    return measures;
  } finally {
    row?.chain.close();
    for (const object of objects) object.close();
    calibration.close();
  }
}

export const suite: Suite = {
  name: 'chain',
  summary: 'ns a packet by BPF_PROG_TEST_RUN: entry and 1 to 30 cubes that do nothing',
  run,
};
