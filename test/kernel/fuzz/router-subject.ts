// SPDX-License-Identifier: Apache-2.0
/** A router with a random configuration, in the kernel and as a model. */
import { GATEWAY_MAC, ipText, isV6, mappedBytes } from '../support/bytes.ts';
import { Chain, Verdict } from '../support/chain.ts';
import { echo, ethernet, icmpError, ip, type Layer4, raw, sctp, tcp, udp } from '../support/packet.ts';
import { addRouter, apply } from '../support/router.ts';
import { add, compareSums, type Subject } from './campaign.ts';
import { reversed, type Tuple } from './flow-model.ts';
import { damaged, randomFrame, type World } from './packets.ts';
import { addressOf } from './parse-model.ts';
import type { Random } from './random.ts';
import { DEVICE_MAC, modelOf, OVERLAY, REMOTES, randomConfig, randomRoutes, WORLD } from './router-config.ts';
import { type Outcome, RouterModel } from './router-model.ts';

/** Of the fixture `pass`, which drops and counts nothing of its own. */

const FIRST = 2;
const ROUTER = 1;
const TABLE = 'test/routes';

/** What other nodes send from their own address: to the router, so that not all of it ends there. */
const QUESTIONS: World = { ...WORLD, sources: REMOTES, macs: [GATEWAY_MAC] };

function layer4({ sport, dport, protocol }: Tuple, v6: boolean): Layer4 {
  if (protocol === 6) return tcp({ sport, dport });
  if (protocol === 17) return udp({ sport, dport, payload: 20 });
  if (protocol === 132) return sctp({ sport, dport });
  if (protocol !== 1 && protocol !== 58) return raw(protocol, 20);
  return echo({ id: sport || dport, reply: sport === 0, ...(v6 ? { v6: true } : {}) });
}

/** A packet of a flow, or an error about one of its other direction; now and then of the flow beside it. */
function packetOf(r: Random, flow: Tuple): Buffer {
  const tuple = r.chance(0.2) ? { ...flow, sport: r.pick(WORLD.ports) } : flow;
  const text = (address: bigint) => ipText(Buffer.from(address.toString(16).padStart(32, '0'), 'hex'));
  const packet = (t: Tuple) => {
    const addresses = { src: text(t.src), dst: text(t.dst) };
    return ip(addresses, layer4(t, isV6(addresses.src)));
  };
  const v6 = isV6(text(tuple.src));
  const error = () => icmpError(v6 ? 1 : 3, v6 ? 4 : 3, packet(reversed(tuple)).bytes);
  const whole = r.chance(0.2) ? ip({ src: text(tuple.src), dst: text(tuple.dst) }, error()) : packet(tuple);
  return damaged(r, ethernet({ dst: r.pick([GATEWAY_MAC, GATEWAY_MAC, DEVICE_MAC]) }, whole), 0.05);
}

const words = (outcome: Outcome): string =>
  JSON.stringify(outcome, (key, value) =>
    key === 'frame' ? undefined : typeof value === 'bigint' ? value.toString(16) : value,
  );

/** @param path another build of the object file, with a planted bug. */
export async function openRouter(r: Random, path?: string): Promise<Subject> {
  const chain = await Chain.open();
  const config = randomConfig(r);
  const router = await addRouter(chain, {
    ports: config.ports,
    slot: ROUTER,
    ...(path === undefined ? {} : { path }),
    spec: {
      routes: [...config.routes],
      icmp: { errorsPerSecond: 1_000_000, burst: 100_000 },
      ...(config.mtu === undefined ? {} : { mtu: config.mtu }),
    },
  });
  const before = await chain.addPass(FIRST);
  const model = new RouterModel(modelOf(config, []));
  const sums = new Map<string, number>();

  for (const remote of REMOTES) chain.addOverlaySource(remote, 128, remote);
  let port = 0;
  let shared = false;
  let remote: string | undefined;
  const enterBy = (random: Random) => {
    remote = random.chance(0.2) ? random.pick(REMOTES) : undefined;
    port = remote === undefined ? random.below(config.ports.length) : OVERLAY;
    shared = random.chance(0.4);
    chain.watch(ROUTER, ...config.ports.map(({ id }) => id));
    if (remote !== undefined) {
      shared = false;
      chain.attach({ kind: 'overlay' }, router.cube, OVERLAY);
    } else if (shared) {
      chain.attach({ kind: 'interface' }, router.cube, port);
    } else {
      chain.attach({ kind: 'interface' }, before, 0);
      chain.edge(FIRST, 1, { kind: 'cube', target: ROUTER, port });
    }
  };
  enterBy(r);

  return {
    shoot(random) {
      if (random.chance(0.1)) enterBy(random);
      const flows = [...model.returns.values()];
      const isAnswer = remote === undefined && flows.length > 0 && random.chance(0.3);
      const world = remote === undefined ? WORLD : QUESTIONS;
      const frame = isAnswer ? packetOf(random, random.pick(flows)) : randomFrame(random, world);
      const actual = chain.shoot(frame, remote === undefined ? {} : { tunnel: { remote, vni: 1 } });
      const end = remote === undefined ? {} : { remote: addressOf(mappedBytes(remote)) };
      const expected = model.decide({ frame, port, shared, deviceMac: DEVICE_MAC, ...end }, actual.frame);
      if (expected.kind !== 'pass') {
        for (const name of expected.counts) add(sums, `count router ${name}`);
        if (expected.drop !== undefined) add(sums, `drop ${expected.drop}`);
      }
      const differences = compare(expected, actual);
      if (differences.length === 0) return [];
      return [
        ...differences,
        `in by port ${port}${shared ? ', shared' : ''}${remote === undefined ? '' : `, from ${remote}`}: ${frame.toString('hex')}`,
        `model:  ${words(expected)}${expected.kind === 'output' ? ` ${expected.frame.toString('hex')}` : ''}`,
        `kernel: verdict ${actual.verdict}, port ${actual.seen?.port ?? 'none'}, ${actual.frame.toString('hex')}`,
      ];
    },
    sums() {
      const counted = [...chain.tally()].filter(([name]) => !name.endsWith('lpmLookups'));
      const noted = [...router.cube.map('returns').keys()].length;
      return [
        ...compareSums(sums, new Map(counted)),
        ...(noted === model.returns.size ? [] : [`returns: model ${model.returns.size}, kernel ${noted}`]),
      ];
    },
    change(random) {
      const rows = randomRoutes(random);
      router.image.setTable(TABLE, rows);
      apply(router.cube, router.image.take());
      model.config = modelOf(config, rows);
    },
    close: () => chain.close(),
  };
}

function compare(expected: Outcome, actual: ReturnType<Chain['shoot']>): string[] {
  if (expected.kind === 'pass') return actual.verdict === Verdict.pass ? [] : ['the host should have it'];
  if (expected.kind === 'drop') return actual.verdict === Verdict.drop ? [] : ['it should be dropped'];
  const { seen } = actual;
  if (actual.verdict !== Verdict.ok || !seen) return ['it should go out'];
  const found: string[] = [];
  if (seen.port !== expected.port) found.push(`port ${seen.port}, not ${expected.port}`);
  if (expected.tunnel !== undefined && addressOf(mappedBytes(seen.work.tunnelRemote)) !== expected.tunnel) {
    found.push(`tunnel to ${seen.work.tunnelRemote}`);
  }
  if (expected.nextHop !== undefined && addressOf(mappedBytes(seen.work.nextHop)) !== expected.nextHop) {
    found.push(`next hop ${seen.work.nextHop}`);
  }
  if (!actual.frame.equals(expected.frame)) found.push('other bytes');
  return found;
}
