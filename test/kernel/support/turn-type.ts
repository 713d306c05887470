// SPDX-License-Identifier: Apache-2.0
/** A cube type for tests of the agent: its program is test/kernel/fixtures/turn.bpf.c. */
import type {
  CubeImage,
  CubeType,
  MapCodec,
  MapWrite,
  MigrateRow,
  PuntAnswer,
  PuntRecord,
} from '../../../src/cubes/cube-type.ts';

export interface TurnSpec {
  /** Port id that a packet leaves by, by the port that it came in by. */
  outPorts: number[];
  label?: number;
  /** Entries of the map of rows. */
  maxRows?: number;
  /** Entries of the table that only the program writes. */
  maxVisits?: number;
  refused?: boolean;
}

const codec = (name: string, valueSize: number): MapCodec => ({
  name,
  keySize: 4,
  valueSize,
  decodeKey: (bytes) => Buffer.from(bytes).readUInt32LE(),
  decodeValue: (bytes) => Buffer.from(bytes).readUInt32LE(),
});

/** A row of a table is `{destination: '10.0.0.KEY/32', mtu: VALUE}`: as a route, for tables have a type. */
function rowOf(row: unknown): [number, number] {
  const { destination, mtu } = row as { destination: string; mtu: number };
  return [Number(destination.split('/')[0]?.split('.')[3]), mtu];
}

class TurnImage implements CubeImage {
  readonly #tables = new Map<string, Map<number, number>>();
  readonly #kernel = new Map<number, number>();
  #label: number | undefined;
  readonly #wanted: number;
  readonly #max: number;

  constructor(spec: TurnSpec, previous?: TurnImage) {
    this.#wanted = spec.label ?? 0;
    this.#max = spec.maxRows ?? 64;
    for (const [key, value] of previous?.kernelRows ?? []) this.#kernel.set(key, value);
  }

  get kernelRows(): ReadonlyMap<number, number> {
    return this.#kernel;
  }

  adopt(map: string, count: number, keys: Uint8Array, values: Uint8Array): void {
    const [k, v] = [Buffer.from(keys), Buffer.from(values)];
    for (let i = 0; i < count; i++) {
      if (map === 'label') this.#label = v.readUInt32LE(i * 4);
      else this.#kernel.set(k.readUInt32LE(i * 4), Number(v.readBigUInt64LE(i * 8)));
    }
  }

  setTable(key: string, rows: readonly unknown[] | undefined) {
    if (rows === undefined) this.#tables.delete(key);
    else this.#tables.set(key, new Map(rows.map(rowOf)));
    const odd = rows?.map(rowOf).find(([, value]) => value === 1313);
    return odd === undefined
      ? []
      : [{ reason: 'OddRow', message: `row ${odd[0]} has the value 1313; change it` }];
  }

  settle(): void {}

  tick(): undefined {
    return undefined;
  }

  take() {
    const wanted = new Map([...this.#tables.values()].flatMap((rows) => [...rows]));
    const writes: MapWrite[] = [];
    const afterGrace: MapWrite[] = [];
    const changed = [...wanted].filter(([key, value]) => this.#kernel.get(key) !== value);
    const gone = [...this.#kernel.keys()].filter((key) => !wanted.has(key));
    if (this.#label !== this.#wanted) {
      writes.push(write('label', [[0, this.#wanted]], 4));
      this.#label = this.#wanted;
    }
    if (changed.length > 0) writes.push(write('rows', changed, 8));
    if (gone.length > 0)
      afterGrace.push({
        ...write(
          'rows',
          gone.map((key) => [key, 0]),
          8,
        ),
        op: 'delete',
        values: new Uint8Array(),
      });
    for (const [key, value] of changed) this.#kernel.set(key, value);
    for (const key of gone) this.#kernel.delete(key);
    return { writes, afterGrace };
  }

  punted({ kind, code, metadata, port, packet }: PuntRecord): PuntAnswer {
    if (code === 3) return { packets: [{ port, direction: 'in', packet, metadata: metadata + 1n }] };
    if (code === 4) return { packets: [{ port: Number(metadata), direction: 'out', packet }] };
    return {
      logs: [{ message: 'turned', fields: { kind, code, rule: `r${metadata}`, label: this.#wanted } }],
    };
  }

  usage() {
    return { rows: { used: this.#kernel.size, max: this.#max } };
  }
}

function write(map: string, rows: [number, number][], valueSize: 4 | 8): MapWrite {
  const keys = Buffer.alloc(rows.length * 4);
  const values = Buffer.alloc(rows.length * valueSize);
  for (const [i, [key, value]] of rows.entries()) {
    keys.writeUInt32LE(key, i * 4);
    if (valueSize === 4) values.writeUInt32LE(value, i * 4);
    else values.writeBigUInt64LE(BigInt(value), i * 8);
  }
  return { map, op: 'update', count: rows.length, keys, values };
}

/** How long visits are remembered, where that is not the program's own span. */
const VISIT_SECONDS = process.env.VISIT_SECONDS === undefined ? undefined : Number(process.env.VISIT_SECONDS);

/** Layout of the table of visits: 1 {seen}, from 2 on {seen, release}; 3 says nothing of earlier rows. */
const LAYOUT = Number(process.env.TURN_LAYOUT ?? 1);

const withRelease: MigrateRow = (version, key, value) => {
  const row = Buffer.alloc(8);
  row.set(value.subarray(0, 4));
  row.writeUInt32LE(version, 4);
  return { key, value: row };
};

export const turnType: CubeType<TurnSpec> = {
  type: 'Turn',
  member: 'turn',
  object: 'turn',
  program: 'turn',
  layer: 3,
  fixedPorts: {},
  firstNamedPort: 0,
  tableTypes: ['Prefix'],
  maps: {
    rows: { class: 'state', writer: 'agent', codec: codec('rows', 8), version: 1 },
    visits: {
      class: 'state',
      writer: 'program',
      codec: codec('visits', LAYOUT === 1 ? 4 : 8),
      version: LAYOUT,
      ...(LAYOUT === 2 ? { onLayoutChange: withRelease } : {}),
      reclaim: 'reclaim_visits',
    },
    label: { class: 'config', writer: 'agent', codec: codec('label', 4), version: 1 },
  },
  check: ({ spec }) =>
    spec.refused
      ? [
          {
            reason: 'Conflict',
            message: 'it asks to be refused; set it to false',
            field: 'spec.turn.refused',
          },
        ]
      : [],
  instance: ({ spec }) => ({
    rodata: {
      out_ports: Uint8Array.from({ length: 8 }, (_, i) => spec.outPorts[i] ?? 0),
      ...(VISIT_SECONDS === undefined
        ? {}
        : { visit_seconds: new Uint8Array(Uint32Array.of(VISIT_SECONDS).buffer) }),
    },
    sizes: { rows: spec.maxRows ?? 64, visits: spec.maxVisits ?? 16 },
    config: { label: spec.label ?? 0 },
  }),
  image: ({ spec }, _node, previous) => new TurnImage(spec, previous as TurnImage | undefined),
};
