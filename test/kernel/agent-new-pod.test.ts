// SPDX-License-Identifier: Apache-2.0
/** A pod that is plugged as the CNI plugin does it: its interface has the entry program by a filter, and later by a link. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { observe } from '../../src/dataplane/kernel/observe.ts';
import { Pins } from '../../src/dataplane/kernel/pins.ts';
import type { Link } from '../../src/dataplane/kernel/rtnetlink/link.ts';
import type { Pod } from '../harness/topology.ts';
import type { AgentClient, Settled } from './support/agent-client.ts';
import { AgentLab, pings, plugRequest } from './support/agent-lab.ts';
import { cubeNode, hubChain, NODE, table } from './support/agent-objects.ts';

let lab: AgentLab;
let [one, two]: Pod[] = [];

beforeAll(async () => {
  lab = await AgentLab.open('agent new pod test');
  [one, two] = [await lab.pod('one', 10), await lab.pod('two', 11)];
}, 120_000);

afterAll(async () => {
  await lab?.close();
}, 120_000);

const objects = [...hubChain(), cubeNode(), table('rows', { 1: 10 })];

async function run(env: Record<string, string> = {}): Promise<AgentClient> {
  const agent = await lab.start(env);
  await agent.ask('set', { objects });
  await agent.ask('synced');
  await agent.ask<Settled>('settled');
  return agent;
}

/** What the interface of a pod has, as the kernel says it. */
async function attached({
  hostDevice,
}: Pod): Promise<{ filters: string[]; links: number; queues: string[] }> {
  const { namespace } = lab.node;
  const json = async (argv: string[]) => JSON.parse((await namespace.exec(argv)).stdout || '[]');
  const filters = await json(['tc', '-j', 'filter', 'show', 'dev', hostDevice, 'ingress']);
  const { links } = await observe(new Pins(lab.bpffs, NODE));
  const [link] = await namespace.ipJson(`link show ${hostDevice}`);
  const queues = await json(['tc', '-j', 'qdisc', 'show', 'dev', hostDevice]);
  return {
    filters: filters.flatMap((one: { options?: { bpf_name?: string } }) => one.options?.bpf_name ?? []),
    links: [...links.values()].filter(({ ifindex }) => ifindex === link?.ifindex).length,
    queues: queues.map(({ kind }: { kind: string }) => kind),
  };
}

/** As of a pod whose pair was made just now. */
async function newPod(pod: Pod): Promise<{ request: object }> {
  const [link] = await lab.node.namespace.ipJson(`link show ${pod.hostDevice}`);
  const { ifindex, mtu, address: mac, flags } = link as unknown as IpLink;
  const made: Link = {
    ...{
      name: pod.hostDevice,
      ifindex,
      mtu,
      mac,
      kind: 'veth',
      peerIfindex: undefined,
      peerNetnsId: undefined,
    },
    up: flags.includes('LOWER_UP'),
    isSetUp: flags.includes('UP'),
  };
  return { request: { ...plugRequest(pod), made } };
}

interface IpLink {
  readonly ifindex: number;
  readonly mtu: number;
  readonly address: string;
  readonly flags: readonly string[];
}

test('by a filter at once, by a link when it is followed; packets pass all the time, and others’ filters stay', async () => {
  const [first, second] = [one as Pod, two as Pod];
  const agent = await run();
  await agent.ask('plug', await newPod(first));
  await agent.ask('plug', await newPod(second));
  const { namespace } = lab.node;
  expect(await attached(first)).toEqual({ filters: ['cubeplane'], links: 0, queues: ['noqueue', 'clsact'] });
  expect(await pings(first, second)).toBe(6);
  expect(await agent.ask('plan')).toEqual([]);
  const { hostDevice } = second;
  await namespace.exec(`tc filter add dev ${hostDevice} egress protocol all u32 match u32 0 0`.split(' '));
  for (const pod of [first, second]) await agent.ask('follow', { name: pod.hostDevice });
  expect(await attached(first)).toEqual({ filters: [], links: 1, queues: ['noqueue'] });
  expect(await attached(second)).toEqual({ filters: [], links: 1, queues: ['noqueue', 'clsact'] });
  expect(await pings(first, second)).toBe(6);
  expect(await agent.ask('plan')).toEqual([]);
  await namespace.exec(['tc', 'qdisc', 'delete', 'dev', hostDevice, 'clsact']);
  for (const { name } of [first, second]) await agent.ask('unplug', { namespace: 'default', name });
  expect(await attached(first)).toEqual({ filters: [], links: 0, queues: ['noqueue'] });
  await agent.kill();
}, 60_000);

test('an agent that is killed after any action is followed by one that leaves links alone', async () => {
  const [first, second] = [one as Pod, two as Pod];
  const change = async (agent: AgentClient) => {
    await agent.ask('plug', await newPod(first));
    await agent.ask('plug', await newPod(second));
    await agent.ask('follow', { name: first.hostDevice });
  };
  await lab.wipe();
  const all = await run();
  await change(all);
  const { actions } = await all.ask<Settled>('settled');
  expect(actions).toEqual(expect.arrayContaining(['AttachFilter', 'Attach', 'RemoveFilter']));
  for (const { name } of [first, second]) await all.ask('unplug', { namespace: 'default', name });
  await all.kill();
  for (let n = 1; n <= actions.length; n++) {
    // The chain is in the kernel already.
    const agent = await run({ CUBEPLANE_FAIL_AFTER: String(n) });
    const died = await change(agent).then(
      () => false,
      () => true,
    );
    expect([n, died]).toEqual([n, true]);
    await agent.exited();
    const next = await run();
    for (const pod of [first, second]) await next.ask('plug', { request: plugRequest(pod) });
    expect(await next.ask('plan')).toEqual([]);
    for (const pod of [first, second])
      expect([n, await attached(pod)]).toEqual([n, { filters: [], links: 1, queues: ['noqueue'] }]);
    expect(await pings(first, second)).toBe(6);
    for (const { name } of [first, second]) await next.ask('unplug', { namespace: 'default', name });
    await next.kill();
  }
}, 300_000);
