// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { observe } from '../../src/dataplane/kernel/observe.ts';
import { Pins } from '../../src/dataplane/kernel/pins.ts';
import { danglingSlots } from '../../src/dataplane/plan.ts';
import type { AgentClient, Settled } from './support/agent-client.ts';
import { AgentLab } from './support/agent-lab.ts';
import { at, cube, cubeNode, hubChain, link, NODE, pods, table } from './support/agent-objects.ts';

let lab: AgentLab;

beforeAll(async () => {
  lab = await AgentLab.open('agent crash test');
}, 120_000);

afterAll(async () => {
  await lab?.close();
}, 120_000);

const before = [...hubChain(), cubeNode(), table('rows', { 1: 10 })];
/** Another spec of one cube, the other one gone, a new one, other links. */
const after = [
  cube('front', { outPorts: [1, 0], label: 9 }, { generation: 2 }),
  cube('other', { outPorts: [0], label: 1 }),
  link('pods', [pods, at('front', 'a')]),
  link('inner', [at('front', 'b'), at('other', 'in')], { generation: 2 }),
  cubeNode(),
  table('rows', { 1: 11, 2: 22 }, 2),
];

async function observed() {
  return await observe(new Pins(lab.bpffs, NODE));
}

/** Hands objects over and waits for the end: of the work, or of the agent. */
async function run(
  objects: typeof before,
  env: Record<string, string> = {},
): Promise<{ agent: AgentClient; settled: Settled | undefined }> {
  const agent = await lab.start(env);
  const settled = await (async () => {
    await agent.ask('set', { objects });
    await agent.ask('synced');
    return await agent.ask<Settled>('settled');
  })().catch(() => undefined);
  return { agent, settled };
}

describe('an agent that is killed after any action', () => {
  let actions = 0;

  test('has so many chances to die', async () => {
    const first = await run(before);
    expect(first.settled?.health.failure).toBeUndefined();
    const made = first.settled?.actions.length ?? 0;
    await first.agent.kill();
    const second = await run(after);
    actions = second.settled?.actions.length ?? 0;
    await second.agent.kill();
    expect(made).toBeGreaterThan(10);
    expect(actions).toBeGreaterThan(10);
  }, 120_000);

  test('is followed by one that ends in the same state, and no edge ever leads to an empty slot', async () => {
    for (let n = 1; n <= actions; n++) {
      await lab.wipe();
      const start = await run(before);
      expect(start.settled?.health.failure).toBeUndefined();
      await start.agent.kill();
      const killed = await run(after, { CUBEPLANE_FAIL_AFTER: String(n) });
      await killed.agent.exited();
      expect(killed.agent.child.signalCode).toBe('SIGKILL');
      expect(danglingSlots(await observed())).toEqual([]);
      const next = await run(after);
      expect(next.settled?.health.failure).toBeUndefined();
      expect(await next.agent.ask('plan')).toEqual([]);
      const state = await observed();
      expect(danglingSlots(state)).toEqual([]);
      expect([...state.instances.values()].every(({ complete }) => complete)).toBe(true);
      expect([...state.instances.keys()].map((key) => key.split('/')[0]).sort()).toEqual([
        'cubeplane-system_front',
        'cubeplane-system_other',
      ]);
      expect([...state.slots.values()].sort()).toEqual([...state.instances.keys()].sort());
      await next.agent.kill();
    }
  }, 180_000);
});
