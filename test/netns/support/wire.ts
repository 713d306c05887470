// SPDX-License-Identifier: Apache-2.0
/** A wire between two hosts of a node, with cubes in it: `left` – cube – … – cube – `right`. */
import type { CubeTypeName } from '../../../src/cubes/generated/index.ts';
import { GUARD } from '../../../src/dataplane/agent-options.ts';
import type { DualStack } from '../../harness/topology.ts';
import type { Drops } from './counters.ts';
import { type Host, type OneNode, openOneNode } from './one-node.ts';
import { SYSTEM } from './two-nodes.ts';

/** Of balancers and translators in the wire. */
export const VIRTUAL = { ipv4: '10.9.0.100', ipv6: 'fd09::64' } as const;

export interface WireCube {
  readonly type: CubeTypeName;
  /** Port towards `left`, and the one towards `right`. */
  readonly ports: readonly [string, string];
  /** Members of the spec beside node, type and links. */
  readonly spec: object;
}

export class Wire {
  readonly node: OneNode;
  readonly left: Host;
  readonly right: Host;
  /** Objects of what is in it. */
  #objects = 0;

  constructor(node: OneNode, left: Host, right: Host) {
    this.node = node;
    this.left = left;
    this.right = right;
  }

  /**
   * Puts cubes into the wire, instead of those that are there, and waits until they are Ready. `name` has to be another
   * one each time: the type of a cube cannot change. Returns their keys. `more` are objects that they need.
   */
  async put(name: string, cubes: readonly WireCube[], ...more: object[]): Promise<string[]> {
    const { agent, manifests } = this.node;
    const of = (kind: string, own: string, spec: object) => ({
      apiVersion: 'cubeplane.io/v1alpha1',
      kind,
      metadata: { name: own, namespace: SYSTEM },
      spec: { nodeName: 'node-a', ...spec },
    });
    const names = cubes.map((_, i) => `${name}-${i}`);
    const device = (host: Host) => ({ type: 'Interface', interface: { name: host.device } });
    const ends = [
      device(this.left),
      ...cubes.flatMap(({ ports }, i) =>
        ports.map((port) => ({ type: 'Cube', cube: { name: names[i], port } })),
      ),
      device(this.right),
    ];
    manifests.write(
      'wire.yaml',
      ...cubes.map(({ type, spec }, i) => of('Cube', names[i] ?? '', { type, ...spec })),
      ...Array.from({ length: cubes.length + 1 }, (_, i) =>
        of('CubeLink', `${name}-link-${i}`, { endpoints: ends.slice(2 * i, 2 * i + 2) }),
      ),
      ...more,
    );
    const wereMany = this.#objects > GUARD.count;
    this.#objects = 2 * cubes.length + 1;
    await this.node.untilReady(this.#objects, {
      timeoutMs: 120_000,
      named: names,
      // whoever means to remove so many at once says so
      ...(wereMany && { meanwhile: async () => void (await agent.cli(['allow-removal'])) }),
    });
    return names.map((own) => `${SYSTEM}/${own}`);
  }

  /** What the entry program and cubes dropped. */
  async drops(keys: readonly string[], cubes: readonly WireCube[]): Promise<Drops> {
    const { counters } = this.node;
    const found: Record<string, number> = {};
    const add = (who: string, drops: Drops) => {
      for (const [reason, count] of Object.entries(drops)) found[`${who} ${reason}`] = count;
    };
    add('entry', await counters.entry());
    for (const [i, key] of keys.entries()) {
      const type = cubes[i]?.type;
      if (type !== undefined) add(key, await counters.cube(key, type));
    }
    return found;
  }

  async close(): Promise<void> {
    await this.node.close();
  }
}

/**
 * Opens a node with hosts `left` (…11) and `right` (…12). Everybody knows the MACs of everybody: cubes that look at
 * addresses leave ARP and neighbour discovery on an interface to the host, which has none there.
 */
export async function openWire(purpose: string): Promise<Wire> {
  const node = await openOneNode(purpose);
  try {
    const left = await node.addHost('left', { number: 11 });
    const right = await node.addHost('right', { number: 12 });
    const knows = async (host: Host, { ipv4, ipv6 }: DualStack, mac: string) =>
      host.namespace.ip(...[ipv4, ipv6].map((address) => `neigh replace ${address} lladdr ${mac} dev eth0`));
    await knows(left, right, right.mac);
    await knows(left, VIRTUAL, right.mac);
    await knows(right, left, left.mac);
    for (const { ipv4, ipv6, mac, device } of [left, right])
      await node.node.namespace.ip(
        `neigh replace ${ipv4} lladdr ${mac} dev ${device}`,
        `neigh replace ${ipv6} lladdr ${mac} dev ${device}`,
      );
    return new Wire(node, left, right);
  } catch (error) {
    await node.close();
    throw error;
  }
}
