// SPDX-License-Identifier: Apache-2.0

/** What the chain itself costs a packet: the entry, and each cube more. Counters are on, as they always are. */
import { type BpfObject, loadObject } from '../../../src/dataplane/kernel/addon/index.ts';
import { Calibration } from '../calibration.ts';
import type { Suite, SuiteOptions } from '../main.ts';
import { interleave, type Measure, measureOf, ratios } from '../measure.ts';

const OBJECTS = new URL('../../../build/bpf/', import.meta.url).pathname;
const SLOTS = 256;
const PORTS = 64;
const EDGE = { cube: 1, device: 2 } as const;
/** The interface that BPF_PROG_TEST_RUN says the packet came from. */
const LOOPBACK = 1;
const INTERFACE_PORT = 8;
/** Cubes in a row. */
const LENGTHS = [1, 4, 8, 30] as const;
/** The length that one cube more is taken from. */
const CHAIN = 8;
const LONGEST = 30;

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function edge(kind: number, port: number, target: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(target, 0);
  bytes.writeUInt16LE(port, 4);
  bytes.writeUInt8(kind, 6);
  return bytes;
}

const edgeKey = (slot: number, port: number): Buffer => u32((0 * SLOTS + slot) * PORTS + port);

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

async function run({ quick, say }: SuiteOptions): Promise<readonly Measure[]> {
  const rounds = quick ? 7 : 31;
  const repeat = quick ? 200_000 : 1_000_000;
  const objects: BpfObject[] = [];
  const calibration = await Calibration.open();
  try {
    const entry = await loadObject({ path: `${OBJECTS}tcx.o` });
    objects.push(entry);
    const shared = ['slots', 'edges', 'pods', 'work', 'events'].map(
      (name) => [name, entry.map(name)] as const,
    );
    for (let slot = 1; slot <= LONGEST; slot++) {
      const cube = Buffer.alloc(16);
      cube.writeUInt32LE(slot);
      const reuseMaps = Object.fromEntries(shared);
      const object = await loadObject({ path: `${OBJECTS}pass.o`, reuseMaps, variables: { cube } });
      objects.push(object);
      entry.map('slots').setProgram(slot, object.program('pass'));
    }
    const bare = await loadObject({ path: `${OBJECTS}wire.o`, variables: { target: u32(LOOPBACK) } });
    objects.push(bare);
    const flows = await loadObject({ path: `${OBJECTS}flows.o` });
    objects.push(flows);
    const attachment = Buffer.alloc(entry.map('attachments').info().valueSize);
    attachment.writeUInt16LE(INTERFACE_PORT, 0);
    entry.map('attachments').update(u32(LOOPBACK), attachment);

    /** Rewires the chain to `length` cubes. */
    const wire = (length: number): void => {
      const edges = entry.map('edges');
      edges.update(edgeKey(0, INTERFACE_PORT), edge(EDGE.cube, 0, 1));
      for (let slot = 1; slot < length; slot++) edges.update(edgeKey(slot, 1), edge(EDGE.cube, 0, slot + 1));
      edges.update(edgeKey(length, 1), edge(EDGE.device, 0, LOOPBACK));
    };
    const measures: Measure[] = [];
    for (const [family, dataIn] of Object.entries(PACKETS)) {
      const time = (length: number) => (): number => {
        wire(length);
        return entry.program('entry').testRun({ dataIn, repeat }).duration;
      };
      const redirect = (): number => bare.program('wire').testRun({ dataIn, repeat }).duration;
      const empty = (): number => flows.program('end').testRun({ dataIn, repeat }).duration;
      const hop = (): number => calibration.hop(dataIn, repeat);
      const lengths = Object.fromEntries(LENGTHS.map((length) => [`${length}`, time(length)]));
      const alternatives: Record<string, () => number> = { empty, redirect, hop, ...lengths };
      const values = await interleave(rounds, alternatives, (round) =>
        say(`${family}: round ${round} of ${rounds}`),
      );
      const of = (name: string | number): number[] => values[name] as number[];
      const each = of(CHAIN).map((ns, index) => (ns - (of(1)[index] as number)) / (CHAIN - 1));
      measures.push(
        measureOf({ name: `chain.empty-program.${family}`, unit: 'ns', better: 'lower' }, of('empty')),
        measureOf({ name: `chain.bare-redirect.${family}`, unit: 'ns', better: 'lower' }, of('redirect')),
        ...LENGTHS.map((length) =>
          measureOf({ name: `chain.length-${length}.${family}`, unit: 'ns', better: 'lower' }, of(length)),
        ),
        measureOf({ name: `chain.minimal-hop.${family}`, unit: 'ns', better: 'lower' }, of('hop')),
        measureOf({ name: `chain.one-more-cube.${family}`, unit: 'ns', better: 'lower', goal: 10 }, each),
        measureOf(
          { name: `chain.one-more-cube/minimal-hop.${family}`, unit: 'ratio', better: 'lower' },
          ratios(each, of('hop')),
        ),
      );
    }
    return measures;
  } finally {
    for (const object of objects) object.close();
    calibration.close();
  }
}

export const suite: Suite = {
  name: 'chain',
  summary: 'ns a packet by BPF_PROG_TEST_RUN: entry and 1 to 30 cubes that do nothing',
  run,
};
