// SPDX-License-Identifier: Apache-2.0
/** A firewall in a chain of its own, filled through its image as the agent would. */
import type { Firewall, FirewallRule, Identity, Policy } from '../../../src/api/generated/types.ts';
import { validate } from '../../../src/api/validate.ts';
import { decodePerCpu } from '../../../src/cubes/codec/map-codec.ts';
import type { CubeInput, ImageChange, Problem } from '../../../src/cubes/cube-type.ts';
import {
  type CubeTuple,
  established as codec,
  ruleCounters,
  type Session,
} from '../../../src/cubes/firewall/generated/codec.ts';
import { FirewallImage } from '../../../src/cubes/firewall/image.ts';
import { identityOf } from '../../../src/cubes/firewall/rule-meaning.ts';
import { schema } from '../../../src/cubes/firewall/schema.ts';
import { firewall } from '../../../src/cubes/firewall/type.ts';
import { GATEWAY_MAC } from './bytes.ts';
import { Chain, type ChainCube, type CubeOptions, type RunOptions, type RunResult } from './chain.ts';

export const OUTSIDE = 0;
export const INSIDE = 1;
const NODE = { name: 'node-a', gatewayMac: GATEWAY_MAC, overlayVni: 1, addresses: [], redirectPeer: true };

export type RuleInput = Partial<FirewallRule> & Pick<FirewallRule, 'action'>;

/** With the defaults that the API server would give. */
export function specOf(spec: object): Firewall {
  const checked = validate({
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'Cube',
    metadata: { name: 'fw', namespace: 'n' },
    spec: { nodeName: 'node-a', type: 'Firewall', firewall: spec },
  });
  if (!checked.ok) throw new Error(checked.message);
  return (checked.object.spec as unknown as { firewall: Firewall }).firewall;
}

/** Rows of a table, with defaults. */
export function rulesOf(rules: readonly RuleInput[]): FirewallRule[] {
  return rules.map((rule) => ({ priority: 1000, direction: 'Ingress', log: false, ...rule }));
}

export interface KnownSession extends CubeTuple {
  readonly table: 'established' | 'embryonic';
  readonly session: Session;
  readonly bytes: Buffer;
}

export class FirewallChain {
  readonly chain: Chain;
  cube: ChainCube;
  image: FirewallImage;
  #spec: Firewall;

  private constructor(chain: Chain, cube: ChainCube, image: FirewallImage, spec: Firewall) {
    this.chain = chain;
    this.cube = cube;
    this.image = image;
    this.#spec = spec;
  }

  static input(spec: object): CubeInput<Firewall> {
    const ports = ['outside', 'inside'].map((name, id) => ({ name, id, addresses: [] }));
    return { namespace: 'n', name: 'fw', uid: 'u', spec: specOf(spec), ports };
  }

  /** @param path another build of the object file. */
  static async open(spec: object = {}, path?: string): Promise<FirewallChain> {
    const input = FirewallChain.input(spec);
    const chain = await Chain.open();
    const cube = await FirewallChain.#load(chain, input, 1, path === undefined ? {} : { path });
    const opened = new FirewallChain(chain, cube, new FirewallImage(input, NODE), input.spec);
    opened.image.settle();
    opened.apply(opened.image.take());
    return opened;
  }

  static async #load(
    chain: Chain,
    input: CubeInput<Firewall>,
    slot: number,
    options: Pick<CubeOptions, 'path' | 'reuseMaps'> = {},
  ): Promise<ChainCube> {
    const [problem] = firewall.check(input);
    if (problem) throw new Error(problem.message);
    const { rodata, sizes } = firewall.instance(input, NODE);
    const cube = await chain.add({
      object: 'firewall',
      schema,
      slot,
      variables: rodata,
      mapSizes: sizes,
      ...options,
    });
    chain.watch(slot, OUTSIDE, INSIDE);
    return cube;
  }

  /** A change of the spec: another instance of the program, with the state maps of this one. */
  async respec(spec: object): Promise<void> {
    const input = FirewallChain.input(spec);
    const state = Object.entries(firewall.maps).filter(([, map]) => map.class === 'state');
    const reuseMaps = Object.fromEntries(state.map(([name]) => [name, this.cube.map(name)]));
    const cube = await FirewallChain.#load(this.chain, input, this.cube.slot + 1, { reuseMaps });
    this.cube = cube;
    this.image = new FirewallImage(input, NODE);
    this.#spec = input.spec;
    this.image.settle();
    this.apply(this.image.take());
  }

  /** An agent that starts anew and finds the maps as they are. */
  adopt(): ImageChange {
    this.image = new FirewallImage(FirewallChain.input(this.#spec), NODE);
    for (const [name, { writer }] of Object.entries(firewall.maps)) {
      if (writer !== 'agent') continue;
      const { count, keys, values } = this.cube.map(name).dumpSync();
      this.image.adopt(name, count, keys, values);
    }
    return { writes: [], afterGrace: [] };
  }

  /** Replaces all rules that do not stand in the spec. */
  set(...rules: RuleInput[]): readonly Problem[] {
    const problems = this.image.setTable('n/rules', rulesOf(rules));
    this.apply(this.image.take());
    return problems;
  }

  /** Replaces all policies and pods. */
  setPolicies(policies: readonly Policy[], identities: readonly Identity[]): readonly Problem[] {
    const problems = [
      ...this.image.setTable('n/policies', policies, undefined, 'Policy'),
      ...this.image.setTable('n/identities', identities, undefined, 'Identity'),
    ];
    this.apply(this.image.take());
    return [...problems, ...this.image.problems()];
  }

  /** The addresses of the node. */
  setNode(...addresses: string[]): void {
    this.image.setNode({ ...NODE, addresses });
    this.apply(this.image.take());
  }

  apply(change: ImageChange): void {
    for (const { map, op, keys, values } of [...change.writes, ...change.afterGrace]) {
      if (op === 'update') this.cube.map(map).updateBatchSync(keys, values);
      else this.cube.map(map).deleteBatchSync(keys);
    }
  }

  /** A frame that comes from outside. */
  ingress(frame: Uint8Array, options?: RunOptions): RunResult {
    this.enter(OUTSIDE);
    return this.chain.run(frame, options);
  }

  /** A frame that comes from inside. */
  egress(frame: Uint8Array, options?: RunOptions): RunResult {
    this.enter(INSIDE);
    return this.chain.run(frame, options);
  }

  enter(port: number): void {
    this.chain.attach({ kind: 'interface' }, this.cube, port);
  }

  sessions(): KnownSession[] {
    return (['established', 'embryonic'] as const).flatMap((table) => {
      const { count, keys, values } = this.cube.map(table).dumpSync();
      return Array.from({ length: count }, (_, i) => ({
        table,
        ...codec.decodeKey(keys, i * codec.keySize),
        session: codec.decodeValue(values, i * codec.valueSize),
        bytes: Buffer.from(keys.subarray(i * codec.keySize, (i + 1) * codec.keySize)),
      }));
    });
  }

  /** Lets time pass for all sessions: their last packet was that many seconds earlier. */
  age(seconds: number): void {
    for (const { table, session, bytes } of this.sessions()) {
      const seen = (session.state.seen - Math.ceil((seconds * 1e9) / 2 ** 30)) >>> 0;
      const value = Buffer.alloc(codec.valueSize);
      codec.encodeValue({ ...session, state: { ...session.state, seen } }, value);
      this.cube.map(table).update(bytes, value);
    }
  }

  /** Packets and bytes that a rule decided. */
  counter(rule: RuleInput): { packets: number; bytes: number } {
    const [row] = rulesOf([rule]);
    const key = Buffer.alloc(8);
    key.writeBigUInt64LE(BigInt(identityOf(row as FirewallRule)));
    const value = this.cube.map('rule_counters').lookup(key);
    const total = { packets: 0, bytes: 0 };
    if (!value) return total;
    for (const one of decodePerCpu(ruleCounters, value, value.length / ruleCounters.valueSize)) {
      total.packets += Number(one.packets);
      total.bytes += Number(one.bytes);
    }
    return total;
  }

  clear(): void {
    for (const name of ['established', 'embryonic', 'reply_buckets', 'rule_counters']) {
      const map = this.cube.map(name);
      const { keys, count } = map.dumpSync();
      if (count > 0) map.deleteBatchSync(keys);
    }
  }

  close(): void {
    this.chain.close();
  }
}
