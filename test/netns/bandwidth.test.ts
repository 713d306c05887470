// SPDX-License-Identifier: Apache-2.0
/** The CNI capability bandwidth, on the provider's chain with config/provider/bandwidth.yaml spliced in, by the real plugin. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { parse } from 'yaml';
import { askIperf } from '../harness/iperf.ts';
import type { Namespace } from '../harness/netns.ts';
import {
  createMachine,
  type Machine,
  type Pod,
  setPodOffload,
  setUnderlayOffload,
} from '../harness/topology.ts';
import { addressesOf, CniRuntime, type Container, cniFlags } from './support/cni.ts';
import { startIperf } from './support/iperf.ts';
import { toProvider } from './support/manifests.ts';
import { FAMILIES, openTwoNodes, SYSTEM, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(300_000);

const SHIPPED = new URL('../../config/provider/bandwidth.yaml', import.meta.url);
const SECONDS = 3;
const [TEN, HUNDRED] = [10_000_000, 100_000_000];

let lab: TwoNodes;
let cni: CniRuntime;
let beside: Pod;
let outside: Machine;
let slow: Container;
let fast: Container;
let slowAddresses: string[];
let fastAddresses: string[];

const asks = (rate: number, burst = 2 ** 32 - 1) => ({
  conf: {
    runtimeConfig: {
      bandwidth: { ingressRate: rate, ingressBurst: burst, egressRate: rate, egressBurst: burst },
    },
  },
});
const LIMITER = `${SYSTEM}/bandwidth.limiter.node-a`;

beforeAll(async () => {
  lab = await openTwoNodes('bandwidth', { nodes: 1, flagsOf: cniFlags, chain: toProvider });
  outside = await createMachine(lab.underlay, 'outside', 50);
  beside = await lab.addPod(0, 'beside', 200);
  await startIperf(outside.namespace);
  cni = new CniRuntime(lab.worker(0));
});
afterAll(async () => {
  await lab?.close();
});

test('without a RateLimiter a pod with a bandwidth is refused, and told what to apply', async () => {
  const { status, json } = await cni.call('ADD', await cni.container('early'), asks(TEN));
  expect([status, json.code]).toEqual([1, 2]);
  expect(json.details).toContain('config/provider/bandwidth.yaml');
  expect((await cni.traces()).devices).toEqual([]);
});

test('with it ADD succeeds', async () => {
  lab.manifests.write('bandwidth.yaml', parse(readFileSync(SHIPPED, 'utf8')));
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(100))
    if ((await lab.statuses(0)).has(`Cube/${LIMITER}`)) break;
  await lab.untilReady();
  [slow, fast] = [await cni.container('slow'), await cni.container('fast')];
  slowAddresses = addressesOf(await cni.add(slow, asks(TEN)));
  fastAddresses = addressesOf(await cni.add(fast, asks(HUNDRED)));
  for (const { namespace } of [slow, fast]) await startIperf(namespace);
});

/** Bits a second that came, of IP payload. */
async function rateOf(from: Namespace, to: string, ...more: string[]): Promise<number> {
  const argv = ['iperf3', '--json', '--client', to, '--time', String(SECONDS), ...more];
  const { sum, sum_received: received } = await askIperf(
    async () => (await from.exec(argv, { anyStatus: true, timeoutMs: 60_000 })).stdout,
  );
  const isUdp = more.includes('--udp');
  const counted = isUdp ? sum : received;
  if (counted === undefined) throw new Error(`iperf3 to ${to} says nothing of what came`);
  return counted.bits_per_second * (1 - (isUdp ? (counted.lost_percent ?? 0) : 0) / 100);
}

/** Runs of iperf3 of which one has to come near the limit: a machine that is busy slows TCP down. None may be above it. */
const RUNS = 3;

/** Of the limit. What TCP sends again and headers take of it; the burst comes on top, once. */
async function expectNear(limit: number, ...of: Parameters<typeof rateOf>): Promise<void> {
  let most = 0;
  for (let run = 0; run < RUNS && most <= 0.85; run++) {
    const share = (await rateOf(...of)) / limit;
    expect(share).toBeLessThan(1 + 0.25 / SECONDS + 0.05);
    most = Math.max(most, share);
  }
  expect(most).toBeGreaterThan(0.85);
}

const place = (family: 'ipv4' | 'ipv6') => (family === 'ipv4' ? 0 : 1);
const udp = (limit: number) => ['--udp', '--bitrate', String(limit * 1.5), '--length', '1200'];

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await setUnderlayOffload(lab.worker(0).node, offload);
    await setUnderlayOffload(outside, offload);
    await setPodOffload(beside, offload);
    for (const { namespace } of [slow, fast])
      await namespace.exec(['ethtool', '-K', 'eth0', 'tx', offload ? 'on' : 'off']);
  });

  test.each(FAMILIES)(
    '%s: TCP from pod to pod of the node, at 10 and 100 Mbit/s, both ways',
    async (family) => {
      for (const way of [[], ['--reverse']]) {
        await expectNear(TEN, beside.namespace, slowAddresses[place(family)] ?? '', ...way);
        await expectNear(HUNDRED, beside.namespace, fastAddresses[place(family)] ?? '', ...way);
      }
    },
  );

  test.each(FAMILIES)('%s: UDP from pod to pod of the node, both ways', async (family) => {
    for (const way of [[], ['--reverse']])
      await expectNear(TEN, beside.namespace, slowAddresses[place(family)] ?? '', ...udp(TEN), ...way);
  });

  test.each(FAMILIES)('%s: with the world, both ways', async (family) => {
    for (const way of [[], ['--reverse']])
      await expectNear(HUNDRED, fast.namespace, outside.addresses[family], ...way);
  });
});

test('others are not limited', async () => {
  expect(await rateOf(beside.namespace, outside.addresses.ipv4)).toBeGreaterThan(3 * HUNDRED);
});

test('CHECK asks for the limits, in the record and in the kernel', async () => {
  const said = async (conf: object) =>
    (await cni.call('CHECK', slow, { conf: { prevResult: {}, ...conf } })).json.msg;
  expect(await said(asks(TEN).conf)).not.toContain('bandwidth');
  expect(await said(asks(HUNDRED).conf)).toContain(
    'the ingress bandwidth of the pod is 10000000 bits a second, not 100000000 bits a second',
  );
});

test('they outlive the agent, which finds them in its records and has nothing to do', async () => {
  const { agent } = lab.worker(0);
  await agent.kill();
  await expectNear(TEN, beside.namespace, slowAddresses[0] ?? '');
  await agent.start();
  await lab.untilReady();
  await expectNear(TEN, beside.namespace, slowAddresses[0] ?? '');
  expect((await agent.cli(['plan'])).stdout).toMatch(/nothing to do/i);
  expect(await lab.worker(0).counters.rows(LIMITER, 'limits')).toBe(4);
});

test('DEL and GC end them', async () => {
  await cni.delete(slow);
  expect(await lab.worker(0).counters.rows(LIMITER, 'limits')).toBe(2);
  await cni.gc([]);
  expect(await lab.worker(0).counters.rows(LIMITER, 'limits')).toBe(0);
});
