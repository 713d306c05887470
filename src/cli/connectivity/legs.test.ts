// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { Story } from '../../dataplane/trace/story.ts';
import { type Ask, firstAsk, follow, placeOf } from './legs.ts';
import { chooseNodes } from './nodes.ts';

const node = (name: string, ipv4: string) => ({ name, addresses: { ipv4 }, gateway: {}, uplink: 'ens1' });
const NODES = [node('a', '198.18.0.11'), node('b', '198.18.0.12')];
const hop = (cube: string, type: string, packet: string) => ({
  cube,
  type,
  port: 'in',
  packet,
  decisions: [],
  outputs: [{ port: 'out', packet, to: 'somewhere' }],
});
const story = (packet: string, more: Partial<Story>): Story => ({
  packet,
  length: 54,
  hops: [hop('s/router', 'Router', packet)],
  verdict: 'Delivered',
  ...more,
});
const drop = { reason: 'NoRoute', description: 'No route.', remedy: 'Add one.' };
const START = { node: 'a', from: 'try/client-1', source: '10.244.0.5', address: '10.244.1.6', port: 8080 };
const PACKET = 'tcp 10.244.0.5:40000 > 10.244.1.6:8080 SYN';
const BACK = 'tcp 10.244.1.6:8080 > 10.244.0.5:40000 SYN';

/** Answers in turn, and keeps what was asked. */
async function followed(...stories: (Story | Error)[]) {
  const asked: Ask[] = [];
  const legs = await follow(firstAsk(START, 'tcp'), NODES, async (what) => {
    asked.push(what);
    const next = stories.shift();
    if (next === undefined) throw new Error('nobody expects this question');
    if (next instanceof Error) throw next;
    return next;
  });
  return { asked, legs, place: placeOf(legs) };
}

test('a packet is followed by the tunnel to the pod, and its answer back', async () => {
  const tunnel = (address: string, packet: string) =>
    story(packet, { verdict: 'Sent', to: `a tunnel to ${address} by cubevxlan` });
  const { asked, place } = await followed(
    tunnel('198.18.0.12', PACKET),
    story(PACKET, { to: 'Pod try/server-2 at cp1' }),
    tunnel('198.18.0.11', BACK),
    story(BACK, { to: 'Pod try/client-1 at cp2' }),
  );
  expect(asked).toEqual([
    { node: 'a', from: 'try/client-1', packet: PACKET },
    { node: 'b', from: 'overlay', packet: PACKET },
    { node: 'b', from: 'try/server-2', packet: BACK },
    { node: 'a', from: 'overlay', packet: BACK },
  ]);
  expect(place).toMatchObject({ node: 'b', reason: 'BetweenNodes' });
});

test('where a cube drops it is the place; the other node is asked at its uplink for what came so', async () => {
  const masked = 'tcp 198.18.0.11:50000 > 198.18.0.12:30080 SYN';
  const { asked, place } = await followed(
    story(masked, { verdict: 'Sent', to: '198.18.0.12 on eth0' }),
    story(masked, { verdict: 'Dropped', by: 's/elb', drop }),
  );
  expect(asked[1]).toEqual({ node: 'b', from: 'ens1', packet: masked });
  expect(place).toEqual({ node: 'b', by: 's/elb', ...drop });
});

test('what a firewall says of an answer without a session is not believed', async () => {
  const firewall = [hop('s/policy', 'Firewall', BACK)];
  const { place } = await followed(
    story(PACKET, { to: 'Pod try/server-2 at cp1' }),
    story(BACK, { verdict: 'Dropped', by: 's/policy', drop, hops: firewall }),
  );
  expect(place).toMatchObject({ node: 'a', reason: 'Delivered' });
});

test('an agent that cannot be asked is the place; what leaves the cluster, too', async () => {
  const { place } = await followed(
    story(PACKET, { verdict: 'Sent', to: 'a tunnel to 198.18.0.12 by cubevxlan' }),
    new Error('no agent answers'),
  );
  expect(place).toMatchObject({
    node: 'b',
    reason: 'AgentNotReached',
    description: expect.stringContaining('no agent answers'),
  });
  const away = await followed(story(PACKET, { verdict: 'Sent', to: '198.18.0.1 on eth0' }));
  expect(away.place).toMatchObject({ node: 'a', reason: 'SentAway' });
});

test('nodes without our network, closed and unready ones are not chosen by themselves', () => {
  const object = (name: string, more: object = {}, status = 'True') => ({
    metadata: { name },
    spec: { podCIDRs: ['10.244.0.0/24'], ...more },
    status: {
      addresses: [{ type: 'InternalIP', address: '198.18.0.11' }],
      conditions: [{ type: 'Ready', status }],
    },
  });
  const nodes = [
    object('foreign'),
    object('cordoned', { unschedulable: true }),
    object('tainted', { taints: [{ key: 'only/mine', effect: 'NoSchedule' }] }),
    object('sick', {}, 'Unknown'),
    object('good'),
  ];
  const ours = nodes.slice(1).map(({ metadata }) => ({ metadata, status: { uplink: 'ens3' } }));
  const choose = (wanted: string[], single = false) =>
    chooseNodes(nodes, ours, { wanted, single }).map(({ name }) => name);
  expect(choose([])).toEqual(['good']);
  expect(choose(['tainted', 'good'])).toEqual(['tainted', 'good']);
  expect(choose(['tainted', 'good'], true)).toEqual(['tainted']);
  expect(() => choose(['foreign'])).toThrow('--nodes foreign: it has no CubeNode');
  expect(() => choose(['nobody'])).toThrow('there is no such node');
  expect(() => chooseNodes(nodes.slice(0, 2), ours, { wanted: [], single: false })).toThrow(
    'foreign: it has no CubeNode: its network is another one; cordoned: it is cordoned',
  );
});
