// SPDX-License-Identifier: Apache-2.0

/**
 * What the maps of one firewall should hold. The rules are replaced as a whole: the tables of the idle bank are filled,
 * then one word moves to it. Prefixes of the bank before stay for the next change, which writes only those that differ. Rules
 * that cannot be placed as a whole leave those in force as they were.
 */
import { createHash } from 'node:crypto';
import type { Firewall, FirewallRule, Identity, Policy } from '../../api/generated/types.ts';
import type {
  CubeImage,
  CubeInput,
  DecidedPacket,
  Explanation,
  ImageChange,
  MapWrite,
  NodeInput,
  Problem,
  PuntAnswer,
  PuntRecord,
  TableSlice,
} from '../cube-type.ts';
import { PackedTable } from '../packed-table.ts';
import { type Compiled, compile, type Defaults } from './compile.ts';
import { explanationOf } from './explanation.ts';
import { addresses, ruleBank } from './generated/codec.ts';
import { PolicySet } from './policy-set.ts';
import { excess, excessOfRules, excessOfTables } from './room.ts';
import { Action, type RuleMeaning } from './rule-meaning.ts';
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

export class FirewallImage implements CubeImage {
  readonly #name: string;
  readonly #spec: Firewall;
  readonly #defaults: Defaults;
  readonly #order: RuleOrder;
  readonly #addresses = new PackedTable(addresses.name, addresses.keySize, addresses.valueSize, Infinity);
  /** Rows of `#addresses` that each bank has; those of the idle one are of the rules before. */
  readonly #rows: [readonly number[], readonly number[]] = [[], []];
  /** Rules were placed since the start: before, it is not known whether those in the kernel are the right ones. */
  #isPlaced = false;
  readonly #policies: PolicySet;
  /** Rules of the policies that were placed last. */
  #policiesInForce: readonly RuleMeaning[] | undefined;
  #types = new Map<string, string>();
  #isChanged = true;
  #problem: Problem | undefined;
  /** Adopted rows stay, because nothing could be placed yet. */
  #isHeld = false;
  #isTaken = false;
  #directions: Directions = NO_RULES;
  /** The rules of `#directions`, made when somebody asks for one. */
  #byIdentity: ReadonlyMap<number, RuleMeaning> | undefined;
  #kernel: Placed | undefined;
  #next: Next | undefined;

  constructor(cube: CubeInput<Firewall>, node: Pick<NodeInput, 'addresses'>) {
    this.#policies = new PolicySet(cube.spec.policyMode === 'Audit');
    this.#policies.setNode(node.addresses);
    this.#name = `${cube.namespace}/${cube.name}`;
    this.#spec = cube.spec;
    this.#defaults = defaultsOf(cube.spec);
    this.#order = new RuleOrder(readRules(cube.spec.rules, 'spec.firewall.rules').meanings);
  }

  adopt(map: string, count: number, keys: Uint8Array, values: Uint8Array): void {
    if (map === addresses.name) this.#adoptAddresses(count, keys, values);
    if (map !== ruleBank.name) return; // what the arrays hold follows from the generation
    const word = ruleBank.decodeValue(values);
    if (word !== 0n) this.#kernel = { bank: Number(word & 1n), generation: word >> 7n };
  }

  /** All of them are wanted until their bank is filled anew. */
  #adoptAddresses(count: number, keys: Uint8Array, values: Uint8Array): void {
    this.#addresses.adopt(count, keys, values);
    const { keySize, valueSize } = addresses;
    const rows: [number[], number[]] = [[...this.#rows[0]], [...this.#rows[1]]];
    for (let i = 0; i < count; i++) {
      const row = this.#addresses.set(keys, values, i * keySize, i * valueSize);
      rows[bankOf(keys, i * keySize)].push(row);
    }
    [this.#rows[0], this.#rows[1]] = rows;
  }

  setTable(
    key: string,
    rows: readonly unknown[] | undefined,
    slice?: TableSlice,
    type = 'Rule',
  ): readonly Problem[] {
    const before = this.#types.get(key);
    if (before !== undefined && (rows === undefined || before !== type)) this.#set(key, undefined, before);
    this.#types.delete(key);
    if (rows === undefined) return [];
    this.#types.set(key, type);
    return this.#set(key, rows, type, slice);
  }

  #set(
    key: string,
    rows: readonly unknown[] | undefined,
    type: string,
    slice?: TableSlice,
  ): readonly Problem[] {
    if (type === 'Rule') return this.#setRules(key, rows, slice);
    this.#isChanged = true;
    if (type === 'Identity')
      return this.#policies.setIdentities(key, rows as readonly Identity[] | undefined);
    this.#policies.setPolicies(key, rows as readonly Policy[] | undefined);
    return [];
  }

  #setRules(key: string, rows: readonly unknown[] | undefined, slice?: TableSlice): readonly Problem[] {
    const rules = (rows ?? []) as readonly FirewallRule[];
    const { meanings, problems } = readRules(rules, 'spec.rules', key);
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

  setNode({ addresses: own }: NodeInput): void {
    if (this.#policies.setNode(own)) this.#isChanged = true;
  }

  settle(): void {
    this.#isHeld = true;
    this.#isChanged = true;
    this.#place();
  }

  tick(): undefined {
    return undefined;
  }

  problems(): readonly Problem[] {
    this.#place();
    return this.#problem === undefined ? [] : [this.#problem];
  }

  /** Rules fit by themselves, which is seen when they are set; policies only with them, and with all pods. */
  #place(): void {
    if (!this.#isChanged) return;
    this.#isChanged = false;
    const wanted = this.#policies.rules();
    const why = this.#try(wanted);
    this.#problem = why === undefined ? undefined : this.#tooMany(why);
    if (why === undefined) this.#policiesInForce = wanted;
    else if (this.#policiesInForce !== undefined) this.#try(this.#policiesInForce);
    else if (this.#mustClose) this.#try(this.#policies.closed());
  }

  /** What an agent before this one has placed stays; a firewall without rules must not let everything pass. */
  get #mustClose(): boolean {
    return this.#policiesInForce === undefined && (this.#kernel === undefined || !this.#isHeld);
  }

  #tooMany(why: string): Problem {
    const before = this.#mustClose
      ? 'Nothing passes but what the node itself sends and gets'
      : 'The policies before stay in force';
    return {
      reason: 'TooManyRules',
      field: 'spec.tables',
      message: `spec.tables: with the policies and identities that it selects the firewall ${this.#name} has ${why}. ${before}. Raise spec.firewall.maxRules of Cube ${this.#name}, or select fewer policies`,
    };
  }

  /** Compiles for the bank that no packet reads, or for the one in force when it says the same. Returns why it does not fit. */
  #try(policies: readonly RuleMeaning[]): string | undefined {
    const { maxRules } = this.#spec;
    const directions = this.#order.directions(policies);
    const tooMany = excessOfRules(directions, maxRules);
    if (tooMany !== undefined) return tooMany;
    const generation = generationOf(directions, this.#defaults);
    const isInForce = this.#kernel?.generation === generation;
    const bank = this.#kernel === undefined ? 0 : isInForce ? this.#kernel.bank : 1 - this.#kernel.bank;
    const isThere = isInForce && this.#isPlaced;
    const compiled = isThere ? undefined : compile(directions, this.#defaults, bank, maxRules);
    const why = compiled && excessOfTables(compiled, maxRules);
    if (why !== undefined) return why;
    this.#directions = directions;
    this.#byIdentity = undefined;
    this.#next = undefined;
    if (compiled !== undefined) {
      this.#fill(bank as 0 | 1, compiled);
      if (!isInForce) this.#next = { bank, generation, compiled };
    }
    this.#isPlaced = true;
    this.#isHeld = false;
    return undefined;
  }

  #fill(bank: 0 | 1, { addressKeys, addressValues }: Compiled): void {
    const rows = addressKeys.map((key, i) => this.#addresses.set(key, addressValues[i] as Uint8Array));
    const wanted = new Set(rows);
    for (const row of this.#rows[bank]) if (!wanted.has(row)) this.#addresses.deleteRow(row);
    this.#rows[bank] = rows;
  }

  take(): ImageChange {
    this.#place();
    const next = this.#next;
    // What a change that was taken back has done to the idle bank waits for the next one.
    if (next === undefined && this.#isTaken) return { writes: [], afterGrace: [] };
    this.#isTaken = true;
    const { updates, deletes } = this.#addresses.take();
    if (next === undefined) return { writes: updates, afterGrace: deletes };
    const hadRules = this.#kernel !== undefined;
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
    // The word once more: it changes nothing, but makes the agent wait for packets under way, which read the bank before,
    // ahead of the change that fills it.
    return { writes: [...deletes, ...updates, ...arrays, flip], afterGrace: hadRules ? [flip] : [] };
  }

  /** `id`: identity of a rule, 0: none. */
  nameObject(_kind: string, id: bigint, packet?: DecidedPacket): string {
    if (id === 0n) return 'the default action';
    const found = this.#rule(id);
    if (found === undefined) return `rule ${id.toString(16)}, which is gone`;
    const others = this.#isolators(found, packet).slice(1);
    if (others.length === 0) return found.title;
    return `${found.title}, as does ${others.map((name) => `NetworkPolicy ${name}`).join(' and ')}`;
  }

  explain(id: bigint, packet?: DecidedPacket): Explanation | undefined {
    const found = this.#rule(id);
    return found && explanationOf(found, this.#isolators(found, packet));
  }

  #rule(id: bigint): RuleMeaning | undefined {
    this.#place();
    this.#byIdentity ??= new Map(
      this.#directions
        .flat()
        .reverse() // of equal ones the first
        .map((rule) => [rule.identity, rule]),
    );
    return this.#byIdentity.get(Number(id));
  }

  /** Of several policies that isolate a pod the first one's rule drops; all of them would have to allow the packet. */
  #isolators({ origin, ingress }: RuleMeaning, packet: DecidedPacket | undefined): readonly string[] {
    const [own] = origin.defaultDenyOf ?? [];
    if (own === undefined || packet === undefined) return origin.defaultDenyOf ?? [];
    const { src, dst } = packet;
    const names = this.#policies.isolating(ingress ? dst : src, ingress ? 'Ingress' : 'Egress');
    return [...new Set([own, ...names])];
  }

  /** Packets that are logged; the program's code is what was done with them. */
  punted({ code, metadata, port, tuple }: PuntRecord): PuntAnswer {
    const action = Object.entries(Action).find(([, value]) => value === code)?.[0] ?? 'Drop';
    const direction = port === 0 ? 'Ingress' : 'Egress';
    return {
      logs: [
        {
          message: LOGGED[action] ?? action,
          fields: { action, direction, rule: this.nameObject('rule', metadata, tuple) },
        },
      ],
    };
  }

  audit(): string | undefined {
    return this.#policies.audit();
  }

  usage(): Readonly<Record<string, { readonly used: number; readonly max: number }>> {
    this.#place();
    const [ingress, egress] = this.#directions;
    return { rules: { used: Math.max(ingress.length, egress.length), max: this.#spec.maxRules } };
  }
}

function bankOf(keys: Uint8Array, at: number): 0 | 1 {
  return addresses.decodeKey(keys, at).table >> 2 === 0 ? 0 : 1;
}
