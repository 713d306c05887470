// SPDX-License-Identifier: Apache-2.0

/**
 * What the maps of one firewall should hold. The rules are replaced as a whole: the tables of the idle bank are filled,
 * then one word moves to it, and only when packets under way have passed, prefixes of the bank before are removed. Rules
 * that cannot be placed as a whole leave those in force as they were.
 */
import { createHash } from 'node:crypto';
import type { Firewall, FirewallRule } from '../../api/generated/types.ts';
import type {
  CubeImage,
  CubeInput,
  ImageChange,
  MapWrite,
  Problem,
  PuntAnswer,
  PuntRecord,
  TableSlice,
} from '../cube-type.ts';
import { PackedTable } from '../packed-table.ts';
import { type Compiled, capacities, compile, type Defaults } from './compile.ts';
import { addresses, ruleBank } from './generated/codec.ts';
import { Action } from './rule-meaning.ts';
import { type Directions, NO_RULES, RuleOrder, readRules } from './rule-order.ts';

const LOGGED: Readonly<Record<string, string>> = {
  Allow: 'let through',
  Drop: 'dropped',
  Reject: 'rejected',
};

interface Placed {
  readonly bank: number;
  readonly generation: bigint;
}

interface Next extends Placed {
  readonly compiled: Compiled;
}

export function defaultsOf({ defaultActions }: Firewall): Defaults {
  const { ingress, egress, log } = defaultActions;
  return { actions: [Action[ingress], Action[egress]], log };
}

/** 57 bits, the same for the same rules: sessions that remember it need not be looked at again. */
export function generationOf(directions: Directions, defaults: Defaults): bigint {
  const hash = createHash('sha256').update(JSON.stringify(defaults));
  directions.forEach((rules, direction) => {
    hash.update(`\n${direction}`);
    for (const { said } of rules) hash.update(`\n${said}`);
  });
  return BigInt(`0x${hash.digest('hex').slice(0, 16)}`) >> 7n || 1n;
}

/** Bit direction * 3 + i: a rule of the direction names Established, Related or Invalid. */
function namedStates(directions: Directions): number {
  return directions.reduce((bits, rules, direction) => {
    const states = rules.reduce((all, rule) => all | rule.states, 0);
    return bits | ((states >> 1) << (direction * 3));
  }, 0);
}

/** Why the rules do not fit, in words that follow the name of whose rules they are. */
export function excess(directions: Directions, defaults: Defaults, maxRules: number): string | undefined {
  const most = Math.max(...directions.map((rules) => rules.length));
  if (most > maxRules) return `${most} rules in one direction, but maxRules is ${maxRules}`;
  const room = capacities(maxRules);
  const prefixes = count(directions, ({ sources, destinations }) => sources.length + destinations.length);
  const ranges = count(
    directions,
    ({ services, sourcePorts }) => 2 * ((services?.length ?? 0) + (sourcePorts?.length ?? 0)),
  );
  const kinds = directions.flat().some(({ tcpFlags }) => tcpFlags) ? 2048 : 64;
  // Each prefix and each end of a range makes at most one bitmap, and one page more; the exact number is only asked for near
  // the limit.
  if (prefixes + ranges + kinds < room.bitmaps && ranges + 64 < room.leaves && 8 * prefixes < room.addresses)
    return undefined;
  const { bitmaps, pages, addressKeys } = compile(directions, defaults, 0, maxRules);
  if (bitmaps <= room.bitmaps && pages <= room.leaves && addressKeys.length <= room.addresses)
    return undefined;
  return `more distinct prefixes and ports (${bitmaps} sets of rules, ${pages} pages, ${addressKeys.length} prefixes) than maxRules ${maxRules} makes room for (${room.bitmaps}, ${room.leaves}, ${room.addresses})`;
}

function count(directions: Directions, of: (rule: Directions[0][number]) => number): number {
  return directions.flat().reduce((sum, rule) => sum + of(rule), 0);
}

export class FirewallImage implements CubeImage {
  readonly #name: string;
  readonly #spec: Firewall;
  readonly #defaults: Defaults;
  readonly #order: RuleOrder;
  readonly #addresses = new PackedTable(addresses.name, addresses.keySize, addresses.valueSize, Infinity);
  /** Keys of the prefixes that each bank should have. */
  readonly #keys: [Uint8Array[], Uint8Array[]] = [[], []];
  #isChanged = true;
  #directions: Directions = NO_RULES;
  #kernel: Placed | undefined;
  #next: Next | undefined;

  constructor(cube: CubeInput<Firewall>) {
    this.#name = `${cube.namespace}/${cube.name}`;
    this.#spec = cube.spec;
    this.#defaults = defaultsOf(cube.spec);
    this.#order = new RuleOrder(readRules(cube.spec.rules, '', 'spec.firewall.rules').meanings);
  }

  adopt(map: string, count: number, keys: Uint8Array, values: Uint8Array): void {
    if (map === addresses.name) this.#addresses.adopt(count, keys, values);
    if (map !== ruleBank.name) return; // what the arrays hold follows from the generation
    const word = ruleBank.decodeValue(values);
    if (word !== 0n) this.#kernel = { bank: Number(word & 1n), generation: word >> 7n };
  }

  setTable(key: string, rows: readonly unknown[] | undefined, slice?: TableSlice): readonly Problem[] {
    const rules = (rows ?? []) as readonly FirewallRule[];
    const { meanings, problems } = readRules(rules, `CubeTable ${key}, `, 'spec.rules');
    const before = this.#order.get(key);
    this.#order.set(key, rows && meanings, slice);
    const why = excess(this.#order.directions(), this.#defaults, this.#spec.maxRules);
    if (why !== undefined && rows !== undefined) {
      this.#order.set(key, before, slice);
      problems.push({
        reason: 'TooManyRules',
        field: 'spec.rules',
        message: `CubeTable ${key}: with its rules the firewall ${this.#name} has ${why}; none of the table is used${before ? ' but what it said before' : ''}. Raise spec.firewall.maxRules, or remove rules`,
      });
      return problems;
    }
    this.#isChanged = true;
    return problems;
  }

  settle(): void {
    this.#place();
    this.#addresses.settle();
  }

  tick(): undefined {
    return undefined;
  }

  /** Compiles what is wanted for the bank that no packet reads, or for the one in force when it says the same. */
  #place(): void {
    if (!this.#isChanged) return;
    this.#isChanged = false;
    this.#directions = this.#order.directions();
    const generation = generationOf(this.#directions, this.#defaults);
    const isInForce = this.#kernel?.generation === generation;
    const bank = this.#kernel === undefined ? 0 : isInForce ? this.#kernel.bank : 1 - this.#kernel.bank;
    const idle = this.#kernel === undefined ? 0 : 1 - this.#kernel.bank;
    this.#drop(idle); // of a change that was not taken
    this.#next = undefined;
    if (isInForce && this.#keys[bank as 0 | 1].length > 0) return;
    const compiled = compile(this.#directions, this.#defaults, bank, this.#spec.maxRules);
    this.#keys[bank as 0 | 1] = compiled.addressKeys;
    compiled.addressKeys.forEach((rowKey, i) => {
      this.#addresses.set(rowKey, compiled.addressValues[i] as Uint8Array);
    });
    if (!isInForce) this.#next = { bank, generation, compiled };
  }

  #drop(bank: number): void {
    for (const key of this.#keys[bank as 0 | 1]) this.#addresses.delete(key);
    this.#keys[bank as 0 | 1] = [];
  }

  take(): ImageChange {
    this.#place();
    const next = this.#next;
    if (next !== undefined && this.#kernel !== undefined) this.#drop(this.#kernel.bank);
    const { updates, deletes } = this.#addresses.take();
    const inForce = next?.bank ?? this.#kernel?.bank ?? 0;
    const stale = deletes.map((write) => ofBank(write, inForce));
    const old = deletes.map((write) => ofBank(write, 1 - inForce));
    const isFilled = ({ count: rows }: MapWrite) => rows > 0;
    if (next === undefined) return { writes: updates, afterGrace: deletes };
    this.#next = undefined;
    this.#kernel = { bank: next.bank, generation: next.generation };
    const arrays = next.compiled.arrays.map(({ map, indexes, values }): MapWrite => {
      const keys = new Uint8Array(indexes.length * 4);
      const view = new DataView(keys.buffer);
      for (const [i, index] of indexes.entries()) view.setUint32(i * 4, index, true);
      return { map, op: 'update', count: indexes.length, keys, values };
    });
    const word = new Uint8Array(ruleBank.valueSize);
    ruleBank.encodeValue(
      (next.generation << 7n) | BigInt((namedStates(this.#directions) << 1) | next.bank),
      word,
    );
    const flip: MapWrite = {
      map: ruleBank.name,
      op: 'update',
      count: 1,
      keys: new Uint8Array(4),
      values: word,
    };
    return {
      writes: [...stale.filter(isFilled), ...updates, ...arrays, flip],
      afterGrace: old.filter(isFilled),
    };
  }

  /** `id`: identity of a rule, 0: none. */
  nameObject(_kind: string, id: bigint): string {
    if (id === 0n) return 'the default action';
    const found = this.#order
      .directions()
      .flat()
      .find(({ identity }) => BigInt(identity) === id);
    return found?.title ?? `rule ${id.toString(16)}, which is gone`;
  }

  /** Packets that are logged; the program's code is what was done with them. */
  punted({ code, metadata, port }: PuntRecord): PuntAnswer {
    const action = Object.entries(Action).find(([, value]) => value === code)?.[0] ?? 'Drop';
    const direction = port === 0 ? 'Ingress' : 'Egress';
    return {
      logs: [
        {
          message: LOGGED[action] ?? action,
          fields: { action, direction, rule: this.nameObject('rule', metadata) },
        },
      ],
    };
  }

  usage(): Readonly<Record<string, { readonly used: number; readonly max: number }>> {
    this.#place();
    const [ingress, egress] = this.#directions;
    return { rules: { used: Math.max(ingress.length, egress.length), max: this.#spec.maxRules } };
  }
}

/** The rows of `addresses` that belong to one bank. */
function ofBank(write: MapWrite, bank: number): MapWrite {
  const size = addresses.keySize;
  const keys: Uint8Array[] = [];
  for (let i = 0; i < write.count; i++) {
    const key = write.keys.subarray(i * size, (i + 1) * size);
    if (addresses.decodeKey(key).table >> 2 === bank) keys.push(key);
  }
  return { ...write, count: keys.length, keys: Buffer.concat(keys) };
}
