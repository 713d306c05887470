// SPDX-License-Identifier: Apache-2.0
/** `cubeplane trace` through real agents: what it tells is what the chain does, and asking changes nothing. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { flowCpu, nodeConfig } from '../../src/dataplane/generated/tcx.ts';
import type { DryRun } from '../../src/dataplane/inspection.ts';
import { BpfMap } from '../../src/dataplane/kernel/addon/index.ts';
import { names } from '../../src/dataplane/kernel/pins.ts';
import { frameOf } from '../../src/dataplane/trace/frame.ts';
import { parsePacket } from '../../src/dataplane/trace/packet-spec.ts';
import { ask } from '../harness/traffic.ts';
import { openTrafficLab, type TrafficLab, VIPS } from './support/services.ts';
import { FAMILIES, SYSTEM } from './support/two-nodes.ts';

jest.setTimeout(120_000);

let t: TrafficLab;
beforeAll(async () => {
  t = await openTrafficLab('trace test');
});
afterAll(async () => {
  await t?.lab.close();
});

async function dry(from: string, packet: string, index = 0): Promise<DryRun> {
  const args = ['trace', '--dry-run', '--from', from, '--packet', packet, '-o', 'json'];
  const { stdout } = await t.lab.worker(index).agent.cli(args);
  return JSON.parse(stdout) as DryRun;
}

const at = (address: string | undefined, port: number) =>
  address?.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

/** Rows of every map of every cube of the node and the shared ones, as bytes. */
async function kernelState(index: number): Promise<Map<string, string>> {
  const { pins } = t.lab.worker(index).counters;
  const folders = names(join(pins.root, 'cubes')).flatMap((cube) =>
    names(pins.cube(cube)).map((instance) => join(pins.cube(cube), instance)),
  );
  const state = new Map<string, string>();
  for (const folder of [join(pins.root, 'node'), ...folders]) {
    for (const name of names(folder)) {
      // programs, the area for the packet under way, and rings of events, which is what a dry run writes
      if (name.startsWith('run_') || /^(program|slots|work|events|flow_events|punts|.*scratch)$/.test(name))
        continue;
      const map = BpfMap.openPinned(join(folder, name));
      const { keys, values } = await map.dump();
      map.close();
      const rows = name === 'flow_cpu' ? withoutClock(values) : values;
      state.set(join(folder, name), `${keys.toString('hex')} ${rows.toString('hex')}`);
    }
  }
  return state;
}

/** Of each CPU the counters alone: what it knows of the time is no row. */
function withoutClock(values: Buffer): Buffer {
  const kept = Buffer.from(values);
  for (let at = 0; at < kept.length; at += flowCpu.valueSize) {
    const value = kept.subarray(at, at + flowCpu.valueSize);
    flowCpu.encodeValue({ ...flowCpu.decodeValue(value), jiffies: 0n, second: 0 }, value);
  }
  return kept;
}

describe.each(FAMILIES)('%s', (family) => {
  const client = () => t.client.addresses[family];

  test('to a Service: frontend, backend and where it is, by name', async () => {
    const story = await dry('default/client', `tcp ${at(client(), 4000)} > ${at(VIPS.near[family], 80)}`);
    expect(story).toMatchObject({ from: 'Pod default/client', verdict: 'Delivered' });
    expect(story.to).toBe(`Pod default/near at ${t.near.hostDevice}`);
    expect(story.hops.map(({ cube }) => cube)).toEqual([
      `${SYSTEM}/kubernetes.ilb.node-a`,
      `${SYSTEM}/kubernetes.router.node-a`,
      `${SYSTEM}/kubernetes.ilb.node-a`,
    ]);
    const backend = at(t.near.addresses[family], 8080);
    expect(story.hops[0]?.decisions).toMatchObject([
      { decision: 'Frontend', object: `${at(VIPS.near[family], 80)}/TCP of Service default/near` },
      { decision: 'NewSession', object: `${backend}/TCP of Service default/near` },
    ]);
    expect(story.hops[0]?.outputs[0]?.packet).toBe(`tcp ${at(client(), 4000)} > ${backend} SYN`);
    expect(story.hops[1]?.decisions[0]?.object).toMatch(/^route \S+ on port pods, connected$/);
  });

  test('to a pod of the other node: the tunnel, and the CubeTable of the route', async () => {
    const far = t.far.addresses[family];
    const story = await dry('default/client', `icmp ${client()} > ${far}`);
    expect(story).toMatchObject({
      verdict: 'Sent',
      to: expect.stringMatching(/^a tunnel to \S+ by cubevxlan$/),
    });
    expect(story.hops[1]?.decisions[0]?.object).toMatch(
      /by tunnel to \S+ on port overlay, of CubeTable cubeplane-system\//,
    );
    const there = await dry('overlay', `icmp ${client()} > ${far}`, 1);
    expect(there).toMatchObject({ verdict: 'Delivered', to: `Pod default/far at ${t.far.hostDevice}` });
  });

  test('drops have their reason, who dropped, and what to do', async () => {
    const stolen = await dry('default/client', `udp ${at(t.near.addresses[family], 1)} > ${at(client(), 2)}`);
    expect(stolen).toMatchObject({
      verdict: 'Dropped',
      by: 'entry',
      hops: [],
      drop: { reason: 'SpoofedSource' },
    });
    expect(stolen.drop?.remedy).not.toBe('');
    const nobody = (family === 'ipv4' ? '10.244.1.77' : 'fd00:244:0:1::77') as string;
    const missing = await dry('default/client', `udp ${at(client(), 1)} > ${at(nobody, 2)}`);
    expect(missing).toMatchObject({
      verdict: 'Dropped',
      by: `${SYSTEM}/kubernetes.ilb.node-a`,
      drop: { reason: 'UnknownPod' },
    });
  });

  test('a refusal says that its sender is told', async () => {
    const refused = await dry('default/client', `tcp ${at(client(), 4001)} > ${at(VIPS.none[family], 80)}`);
    expect(refused).toMatchObject({
      verdict: 'Answered',
      to: `Pod default/client at ${t.client.hostDevice}`,
      drop: { reason: 'NoBackend' },
    });
    const expired = await dry(
      'default/client',
      `udp ${at(client(), 1)} > ${at(t.far.addresses[family], 2)} ttl 1`,
    );
    expect(expired).toMatchObject({ verdict: 'Answered', drop: { reason: 'TtlExpired' } });
  });
});

/** Asks about packets that would make sessions, fragments, answers and counts; returns the maps that differ afterwards. */
async function changedByAsking(): Promise<string[]> {
  const before = await kernelState(0);
  expect(before.size).toBeGreaterThan(30);
  for (const family of FAMILIES) {
    const client = t.client.addresses[family];
    const story = await dry('default/client', `tcp ${at(client, 4002)} > ${at(VIPS.sticky[family], 80)}`);
    expect(story.hops[0]?.decisions.map(({ decision }) => decision)).toContain('NewSession');
    await dry('default/client', `tcp ${at(client, 4002)} > ${at(VIPS.none[family], 80)}`);
    await dry('default/client', `udp ${at(client, 4002)} > ${at(t.far.addresses[family], 80)}`);
    await dry('default/client', `icmp ${client} > ${family === 'ipv4' ? '10.244.1.1' : 'fd00:244:0:1::1'}`);
  }
  const after = await kernelState(0);
  return [...after].filter(([path, rows]) => before.get(path) !== rows).map(([path]) => path);
}

test('asking changes no row, no session and no counter, and sends nothing', async () => {
  // Pods send packets of their own now and then, as router solicitations: what asking changed, it would change each time.
  let changed: string[] = [];
  for (let attempt = 0; attempt < 8; attempt++) {
    changed = await changedByAsking();
    if (changed.length === 0) break;
  }
  expect(changed).toEqual([]);
});

test('from a port of a cube, and from a capture', async () => {
  const text = `tcp ${at(t.client.addresses.ipv4, 4000)} > ${at(VIPS.near.ipv4, 80)}`;
  const story = await dry('kubernetes.router.node-a/pods', text);
  expect(story.hops[0]).toMatchObject({ cube: `${SYSTEM}/kubernetes.router.node-a`, port: 'pods' });
  const frame = frameOf(parsePacket(text), { src: '02:00:00:00:00:01', dst: '02:00:00:00:00:02' });
  const head = Buffer.alloc(40);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt32LE(1, 20);
  head.writeUInt32LE(frame.length, 32);
  head.writeUInt32LE(frame.length, 36);
  const path = join(t.lab.lab.directory, 'packets.pcap');
  writeFileSync(path, Buffer.concat([head, frame]));
  const { stdout } = await t.lab
    .worker(0)
    .agent.cli(['trace', '--dry-run', '--from', 'default/client', '--pcap', path]);
  expect(stdout).toMatch(
    /^tcp \S+ > \S+ SYN \(54 bytes\) from Pod default\/client\n├─ .*kubernetes.ilb.node-a \(LoadBalancer\)/,
  );
  expect(stdout).toContain(`└─ Delivered to Pod default/near at ${t.near.hostDevice}`);
});

test('what cannot be asked is refused with what there is', async () => {
  const { agent } = t.lab.worker(0);
  const fails = async (...args: string[]) => await agent.cli(['trace', ...args], { anyStatus: true });
  const packet = 'tcp 10.0.0.1:1 > 10.0.0.2:2';
  expect(await fails('--dry-run', '--from', 'nobody', '--packet', packet)).toMatchObject({
    status: 3,
    stderr: expect.stringMatching(/no pod, interface or port of a cube nobody[\s\S]*pods default\/client/),
  });
  expect(await fails('--dry-run', '--from', 'default/client', '--packet', 'tcp 10.0.0.1')).toMatchObject({
    status: 2,
  });
  expect(await fails('--dry-run', '--from', 'default/client')).toMatchObject({ status: 2 });
});

describe('live', () => {
  const tracing = (): number => {
    const map = BpfMap.openPinned(t.lab.worker(0).counters.pins.sharedMap('node_config'));
    const value = map.lookup(Buffer.alloc(4));
    map.close();
    return nodeConfig.decodeValue(value ?? Buffer.alloc(nodeConfig.valueSize)).tracing;
  };
  let starts = 0;
  const start = async (...args: string[]) => {
    const { agent, node } = t.lab.worker(0);
    return await node.namespace.start(`trace-${++starts}`, [
      'env',
      `CUBEPLANE_STATE=${agent.stateDir}`,
      process.execPath,
      'src/cli/main.ts',
      'trace',
      '--node',
      'node-a',
      '-o',
      'json',
      ...args,
    ]);
  };
  /** Asks the Service until the trace has said what it waits for. */
  const askUntil = async (seen: Promise<unknown>, service: keyof typeof VIPS) => {
    let isSeen = false;
    const done = () => {
      isSeen = true;
    };
    void seen.then(done, done);
    while (!isSeen) await ask(t.client.namespace, VIPS[service].ipv4, 80, { count: 2, udp: false });
    await seen;
  };

  test('packets that match, with their way, and no others; nothing is left on', async () => {
    expect(tracing()).toBe(0);
    const trace = await start('--host', VIPS.near.ipv4, '--port', '80', '--protocol', 'tcp', '--count', '6');
    await askUntil(trace.waitForOutput(/"verdict":"Delivered"/, 60_000), 'near');
    await askUntil(trace.exited(), 'near');
    const stories = (await trace.output())
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as DryRun);
    expect(stories).toHaveLength(6);
    for (const { packet, hops, verdict, to } of stories) {
      expect(packet).toMatch(new RegExp(`^tcp ${t.client.addresses.ipv4}:\\d+ > ${VIPS.near.ipv4}:80`));
      expect(hops.map(({ type }) => type)).toEqual(['LoadBalancer', 'Router', 'LoadBalancer']);
      expect([verdict, to]).toEqual(['Delivered', `Pod default/near at ${t.near.hostDevice}`]);
    }
    expect(tracing()).toBe(0);
  });

  test('what is dropped; a reader that is killed ends it', async () => {
    const trace = await start('--dropped');
    await askUntil(trace.waitForOutput(/"reason":"NoBackend"/, 60_000), 'none');
    expect(tracing()).toBe(1);
    const { agent } = t.lab.worker(0);
    const second = await agent.cli(['trace', '--count', '1'], { anyStatus: true });
    expect(second).toMatchObject({ status: 5, stderr: expect.stringContaining('another live trace') });
    trace.kill('SIGKILL');
    for (const deadline = Date.now() + 30_000; tracing() !== 0 && Date.now() < deadline; )
      await new Promise((resolve) => setTimeout(resolve, 100));
    expect(tracing()).toBe(0);
  });

  test('an agent that was killed in the middle of a trace leaves it to the next one to end it', async () => {
    const { agent } = t.lab.worker(0);
    const trace = await start('--dropped');
    await askUntil(trace.waitForOutput(/"reason":"NoBackend"/, 60_000), 'none');
    await agent.kill();
    trace.kill('SIGKILL');
    expect(tracing()).toBe(1);
    await agent.start(60_000);
    expect(tracing()).toBe(0);
  });
});
