// SPDX-License-Identifier: Apache-2.0
/** Cubes put into a running chain and taken out again: programs, maps and pins of the others stay the very same. */
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { LABELS } from '../../src/api/group.ts';
import { specHash } from '../../src/api/hash.ts';
import type { SourceObject } from '../../src/dataplane/sources/source.ts';
import { heldBpf, heldBpfOnce } from '../harness/held.ts';
import type { Pod } from '../harness/topology.ts';
import type { AgentClient, Settled } from './support/agent-client.ts';
import { AgentLab, pings, plugRequest } from './support/agent-lab.ts';
import { at, cubeNode, hubChain, meta, NAMESPACE, NODE } from './support/agent-objects.ts';

const OBJECTS = new URL('../../build/bpf', import.meta.url).pathname;

let lab: AgentLab;
let agent: AgentClient;
let first: Pod;
let second: Pod;

interface TapChain {
  readonly objects: SourceObject[];
  readonly gone: [SourceObject['kind'], string, string][];
  readonly record: object;
}

/** A chain of taps, stamped as the operator does it. */
function tapChain(
  name: string,
  options: { priority?: number; policy?: 'Open' | 'Closed'; count?: number; link?: string } = {},
): TapChain {
  const { priority = 500, policy, count = 1, link = 'inner' } = options;
  const extra = { labels: { [LABELS.chain]: name } };
  const names = Array.from({ length: count }, (_, i) => `${name}.${i}`);
  const cubes = names.map((one) => ({
    kind: 'Cube' as const,
    metadata: meta(one, 1, extra),
    spec: { nodeName: NODE, type: 'Tap', hook: 'TC', tap: {} },
  }));
  const linkOf = (one: string, endpoints: object[], spec: object = {}) => ({
    kind: 'CubeLink' as const,
    metadata: meta(`${name}.${one}`, 1, extra),
    spec: { nodeName: NODE, endpoints, ...spec },
  });
  const outer = { type: 'Next', ...(policy && { failurePolicy: policy }) };
  const links = [
    linkOf('head', [outer, at(names[0] as string, 'in')], { splice: { link, priority } }),
    ...names.map((one, i) => {
      const next = names[i + 1];
      return linkOf(`link-${i}`, [at(one, 'out'), next === undefined ? { type: 'Next' } : at(next, 'in')]);
    }),
  ];
  const objects = [...cubes, ...links];
  const members = objects.map((object) => ({
    kind: object.kind,
    name: object.metadata.name,
    hash: specHash(object as never),
  }));
  return {
    objects,
    gone: objects.map(({ kind, metadata }) => [kind, NAMESPACE, metadata.name]),
    record: { namespace: NAMESPACE, name, revision: 'r1', members },
  };
}

let generation = 1;
const record = (...chains: TapChain[]) =>
  cubeNode(
    chains.map((one) => one.record),
    ++generation,
  );

async function start(env: Record<string, string> = {}, objects: SourceObject[] = []): Promise<Settled> {
  agent = await lab.start(env);
  await agent.ask('set', { objects: [...hubChain(), cubeNode([], ++generation), ...objects] });
  await agent.ask('synced');
  return await agent.ask<Settled>('settled');
}

/** Pings all the time; `end` says how many of how many came back. */
async function startPings(
  from: Pod,
  to: Pod,
): Promise<{ end(): Promise<{ sent: number; received: number }> }> {
  const argv = ['ping', '-q', '-i', '0.004', to.addresses.ipv6 as string];
  const running = await from.namespace.start('ping', argv);
  return {
    async end() {
      running.kill('SIGINT');
      await running.exited();
      const [, sent, received] =
        /(\d+) packets transmitted, (\d+) received/.exec(await running.output()) ?? [];
      return { sent: Number(sent), received: Number(received) };
    },
  };
}

beforeAll(async () => {
  lab = await AgentLab.open('splice test');
  await start();
  first = await lab.pod('one', 2);
  second = await lab.pod('two', 3);
  for (const pod of [first, second]) await agent.ask('plug', { request: plugRequest(pod) });
}, 60_000);

afterAll(async () => {
  await lab?.close();
}, 60_000);

const portsOf = ({ statuses }: Settled, name: string) =>
  statuses[`Cube ${NAMESPACE}/${name}`].ports.map((port: { name: string; peer: string; state: string }) =>
    [port.name, port.peer, port.state].join(' '),
  );

describe('a chain that is spliced into a link', () => {
  test('changes edges alone; what is there stays the very same, and goes as it came', async () => {
    expect(await pings(first, second)).toBe(6);
    // What plugging did is told, and the plan says that nothing is left.
    expect(await agent.ask('plan')).toEqual([]);
    await agent.ask('settled');
    const before = lab.pins();
    const { prog: _, ...held } = heldBpf(agent.child.pid as number);
    const load = await startPings(first, second);
    const low = tapChain('low', { count: 2 });
    const put = await agent.set([...low.objects, record(low)]);
    expect(put.health.failure).toBeUndefined();
    expect(put.actions).toEqual([
      ...['LoadInstance', 'SetSlot', 'PinProgram', 'LoadInstance', 'SetSlot', 'PinProgram'],
      ...['WriteEdges', 'Flip', 'Grace'],
    ]);
    for (const [path, inode] of before) expect([path, lab.pins().get(path)]).toEqual([path, inode]);
    expect(portsOf(put, 'front')).toEqual(['a Pods Up', 'b low.0/outside Up']);
    expect(portsOf(put, 'low.1')).toEqual(['inside hub/in Up', 'outside low.0/inside Up']);
    expect(put.statuses[`CubeLink ${NAMESPACE}/inner`].through).toEqual(['low.0', 'low.1']);
    expect(await pings(first, second)).toBe(6);
    expect(await agent.ask('plan')).toEqual([]);

    const withLow = lab.pins();
    const high = tapChain('high', { priority: 900 });
    const both = await agent.set([...high.objects, record(low, high)]);
    expect(both.actions).toEqual(['LoadInstance', 'SetSlot', 'PinProgram', 'WriteEdges', 'Flip', 'Grace']);
    for (const [path, inode] of withLow) expect([path, lab.pins().get(path)]).toEqual([path, inode]);
    expect(both.statuses[`CubeLink ${NAMESPACE}/inner`].through).toEqual(['high.0', 'low.0', 'low.1']);
    expect(portsOf(both, 'high.0')).toEqual(['inside low.0/outside Up', 'outside front/b Up']);

    // The record goes first, as the operator does it: out of force with the record, then out of sight.
    await agent.set([record(high)]);
    await agent.set([record()], low.gone);
    const after = await agent.set([], high.gone);
    expect(portsOf(after, 'front')).toEqual(['a Pods Up', 'b hub/in Up']);
    expect(after.statuses[`CubeLink ${NAMESPACE}/inner`].through).toBeUndefined();
    expect(lab.pins()).toEqual(before);
    const { prog = 0, ...still } = await heldBpfOnce(agent.child.pid as number, held);
    expect(still).toEqual(held);
    // One that removes what is over may stay open.
    expect(prog).toBeLessThanOrEqual(1);
    expect(await agent.ask('plan')).toEqual([]);
    const { sent, received } = await load.end();
    // The last one may be under way.
    expect(sent - received).toBeLessThanOrEqual(1);
    expect(sent).toBeGreaterThan(20);
  }, 60_000);

  test('survives a SIGKILL of the agent, as committed', async () => {
    const chain = tapChain('kept');
    await agent.set([...chain.objects, record(chain)]);
    const before = lab.pins();
    await agent.kill();
    expect(await pings(first, second)).toBe(6);
    const { actions } = await start({}, [...chain.objects, record(chain)]);
    expect(actions).toEqual([]);
    expect(lab.pins()).toEqual(before);
    await agent.set([record()], chain.gone);
  }, 60_000);

  test('waits, visibly, for a link that is not there', async () => {
    const chain = tapChain('lost', { link: 'nowhere' });
    const { statuses } = await agent.set([...chain.objects, record(chain)]);
    const [, resolved] = statuses[`CubeLink ${NAMESPACE}/lost.head`].conditions;
    expect(resolved).toMatchObject({ type: 'ResolvedRefs', status: 'False', reason: 'LinkNotFound' });
    expect(await pings(first, second)).toBe(6);
    await agent.set([record()], chain.gone);
  }, 30_000);
});

describe('a cube that the kernel does not hold', () => {
  test.each([
    ['Open', 6],
    ['Closed', 0],
  ] as const)(
    'with policy %s: %i of 6 pings',
    async (policy, answered) => {
      await agent.stop();
      const objects = join(lab.root, `objects-${policy}`);
      await mkdir(objects, { recursive: true });
      for (const name of ['tcx.o', 'turn.o']) await cp(join(OBJECTS, name), join(objects, name));
      const chain = tapChain('gone', { policy });
      await start({ OBJECTS: objects }, [...chain.objects, record(chain)]);
      const said = await agent.ask<Settled>('settled');
      const programmed = said.statuses[`Cube ${NAMESPACE}/gone.0`].conditions[2];
      expect(programmed).toMatchObject({ type: 'Programmed', status: 'False', reason: 'ObjectMissing' });
      expect(portsOf(said, 'front')[1]).toBe(
        policy === 'Open' ? 'b hub/in Up' : 'b gone.0, which is not programmed Down',
      );
      expect(await pings(first, second)).toBe(answered);

      // With its program it comes into the same place.
      await agent.stop();
      await start({}, [...chain.objects, record(chain)]);
      expect(await pings(first, second)).toBe(6);
      expect(portsOf(await agent.ask<Settled>('settled'), 'gone.0')).toEqual([
        'inside hub/in Up',
        'outside front/b Up',
      ]);
      await agent.set([record()], chain.gone);
    },
    60_000,
  );
});
