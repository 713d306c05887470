// SPDX-License-Identifier: Apache-2.0

/**
 * How the rows of one map are laid out. Generated from the BTF of a BPF object by scripts/generate/codecs.ts:
 *
 * - u8, u16, u32, s32 are numbers; u64, s64 bigints; a u64 of type `u53_t` is a number; bool is a boolean.
 * - `be16_t`, `be32_t`, `be64_t` are in network order in the row and plain numbers here.
 * - `addr_t` is text, `10.0.0.1` or `fd00::1`; encoding takes its 16 bytes as well.
 * - `mac_t` is text, `02:00:00:00:00:01`; an array of char is text without its trailing zeros.
 * - Arrays are lists; a shorter list is filled up with zeros, a longer one refused.
 * - A union is its first member, which must be as large as the union; the others are views for C only. Members of
 *   an anonymous struct or union belong to the struct around it.
 * - Members named `pad…` and the kernel's own (bpf_timer, bpf_spin_lock) are written as zeros and never read.
 * - snake_case becomes camelCase, `struct port_counter` becomes `PortCounter`.
 *
 * Encoding throws RangeError or TypeError naming the member; it writes every byte of a row.
 */
export interface MapCodec<Key = unknown, Value = unknown, KeyInput = Key, ValueInput = Value> {
  /** The map's name in C. */
  readonly name: string;
  /** BPF_MAP_TYPE_*. */
  readonly type: number;
  readonly maxEntries: number;
  /** Bytes. */
  readonly keySize: number;
  /** Bytes; of one CPU's value for per-CPU maps. */
  readonly valueSize: number;
  encodeKey(key: KeyInput, bytes: Uint8Array, at?: number): void;
  decodeKey(bytes: Uint8Array, at?: number): Key;
  encodeValue(value: ValueInput, bytes: Uint8Array, at?: number): void;
  decodeValue(bytes: Uint8Array, at?: number): Value;
}

/** A map without rows: a ring buffer. */
export interface RecordMap {
  readonly name: string;
  readonly type: number;
  /** Bytes. */
  readonly maxEntries: number;
}

/** A struct outside of maps: a ring buffer's record, a syscall program's context, a constant in `.rodata`. */
export interface StructCodec<Value, Input = Value> {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Fresh bytes. */
  encode(value: Input): Uint8Array;
  decode(bytes: Uint8Array, at?: number): Value;
}

export interface Row<Key, Value> {
  readonly key: Key;
  readonly value: Value;
}

/** Packed rows, as the kernel's batch operations take them. */
export interface PackedRows {
  count: number;
  keys: Uint8Array;
  values: Uint8Array;
}

/** Packs rows for a batch update. Not for per-CPU maps. */
export function encodeRows<KeyInput, ValueInput>(
  codec: MapCodec<unknown, unknown, KeyInput, ValueInput>,
  rows: readonly Row<KeyInput, ValueInput>[],
): PackedRows {
  const keys = new Uint8Array(rows.length * codec.keySize);
  const values = new Uint8Array(rows.length * codec.valueSize);
  let key = 0;
  let value = 0;
  for (const row of rows) {
    codec.encodeKey(row.key, keys, key);
    codec.encodeValue(row.value, values, value);
    key += codec.keySize;
    value += codec.valueSize;
  }
  return { count: rows.length, keys, values };
}

/** The rows of a dump. Not for per-CPU maps. */
export function decodeRows<Key, Value>(
  codec: MapCodec<Key, Value, never, never>,
  packed: PackedRows,
): Row<Key, Value>[] {
  const rows: Row<Key, Value>[] = [];
  for (let i = 0; i < packed.count; i++) {
    rows.push({
      key: codec.decodeKey(packed.keys, i * codec.keySize),
      value: codec.decodeValue(packed.values, i * codec.valueSize),
    });
  }
  return rows;
}

/** One value a possible CPU, of the row at `index` in a per-CPU map's packed values (8-byte slots, `cpus` of them). */
export function decodePerCpu<Value>(
  codec: { readonly valueSize: number; decodeValue(bytes: Uint8Array, at?: number): Value },
  values: Uint8Array,
  cpus: number,
  index = 0,
): Value[] {
  const slot = Math.ceil(codec.valueSize / 8) * 8;
  return Array.from({ length: cpus }, (_, cpu) => codec.decodeValue(values, (index * cpus + cpu) * slot));
}
