// SPDX-License-Identifier: Apache-2.0

/**
 * What a packet of an established connection costs on its way from pod to pod through LoadBalancer and Router, and with a
 * Firewall between them, next to the map lookups of that way alone: the same keys in the same maps, in the same order,
 * without anything done with them (test/kernel/fixtures/lookups.bpf.c). And what a packet of a client outside costs, and its
 * answer, through Nat, LoadBalancer and Router, and the first packet of a connection, from outside or from a pod: next to its
 * lookups and the inserts of its session (ways.bpf.c).
 *
 * Each run of BPF_PROG_TEST_RUN is a packet of a random flow (flows.bpf.c); what writing the packet costs is measured by
 * itself and taken off. Packets go by what is known of their flow, as with an agent; `asked` are those that pass each cube, as the
 * first ones of each second do.
 */
import { Calibration } from '../calibration.ts';
import { FAMILIES, type Family } from '../connect.ts';
import { type ChainSender, Rig } from '../flows.ts';
import { FromPod } from '../from-pod.ts';
import { FLOW_RECORDS } from '../load.ts';
import type { Suite, SuiteOptions } from '../main.ts';
import { difference, interleave, type Measure, measureOf, ratios } from '../measure.ts';
import { Outside } from '../outside.ts';
import { dropsIn, measureWay } from '../way.ts';

/** ns a packet may take beside its lookups: parsing, rewriting with checksums, tail calls, counters, session state. */
const CHAINS = [
  { name: 'load-balancer-router', firewall: false, goal: 60 },
  { name: 'load-balancer-firewall-router', firewall: true, goal: 80 },
] as const;

/** Further ways of the provider, request and reply, established and new, with the goals of `way.ts`. */
const WAYS = [() => Outside.open(), () => FromPod.open()];

type ChainOfCubes = (typeof CHAINS)[number];

async function measures(
  rig: Rig,
  { name, goal }: ChainOfCubes,
  family: Family,
  calibration: Calibration,
  { quick, say }: SuiteOptions,
): Promise<Measure[]> {
  const [rounds, repeat, count] = quick ? [5, 80_000, 512] : [21, 400_000, 8192];
  const connections = rig.establish(family, count);
  say(`${name} ${family}: ${count} connections established`);
  const senders = {
    many: await rig.sender(family, connections),
    one: await rig.sender(family, connections.slice(0, 1)),
    reply: await rig.sender(family, connections, 'reply'),
  };
  const alternatives: Record<string, () => number> = {};
  for (const [kind, { sender, lookups }] of Object.entries<ChainSender>(senders)) {
    const enter = (): void => (kind === 'reply' ? rig.fromServer() : rig.fromClient());
    alternatives[`${kind}-end`] = () => sender.time(sender.end, repeat);
    for (const [name, isKnown] of [
      [kind, true],
      [`${kind}-asked`, false],
    ] as const)
      alternatives[name] = () => {
        enter();
        rig.chain.keepFlows(isKnown ? FLOW_RECORDS : 0);
        return sender.time(rig.chain.entry, repeat);
      };
    if (lookups) alternatives[`${kind}-lookups`] = () => sender.time(lookups, repeat);
  }
  const { request } = connections[0] as (typeof connections)[number];
  alternatives.call = () => calibration.call(request, repeat);
  const before = rig.sent();
  const values = await interleave(rounds, alternatives);
  expectAll(rig, before, (rounds + 1) * repeat);
  say(`${name} ${family}: ${rounds} rounds`);
  const minus = (a: string, b: string) => difference(values, a, b);
  const head = (what: string, unit: 'ns' | 'ratio' = 'ns') =>
    ({ name: `chains.${name}.${what}.${family}`, unit, better: 'lower' }) as const;
  return [
    ...[
      ['many', `${count}-flows`],
      ['one', 'one-flow'],
    ].flatMap(([kind, label]) => {
      const beside = minus(`${kind}`, `${kind}-lookups`);
      return [
        measureOf(head(`packet.${label}`), minus(`${kind}`, `${kind}-end`)),
        measureOf(head(`packet-asked.${label}`), minus(`${kind}-asked`, `${kind}-end`)),
        measureOf(head(`lookups.${label}`), minus(`${kind}-lookups`, `${kind}-end`)),
        measureOf({ ...head(`beside-lookups.${label}`), goal }, beside),
        measureOf(
          head(`beside-lookups/kernel-call.${label}`, 'ratio'),
          ratios(beside, values.call as number[]),
        ),
      ];
    }),
    measureOf(head(`reply.${count}-flows`), minus('reply', 'reply-end')),
    measureOf(head(`reply-asked.${count}-flows`), minus('reply-asked', 'reply-end')),
    measureOf(head('kernel-call'), values.call as number[]),
  ];
}

/** A figure counts only if every packet went the whole way. */
function expectAll(rig: Rig, before: Record<'requests' | 'replies', number>, each: number): void {
  const drops = dropsIn(rig.chain);
  if (drops > 0)
    throw new Error(`${drops} packets were dropped: what was measured is not the way of a packet`);
  const after = rig.sent();
  const wanted = { requests: 4 * each, replies: 2 * each };
  for (const way of ['requests', 'replies'] as const) {
    const sent = after[way] - before[way];
    if (sent !== wanted[way]) throw new Error(`${sent} of ${wanted[way]} ${way} left the chain`);
  }
}

async function run(options: SuiteOptions): Promise<readonly Measure[]> {
  const all: Measure[] = [];
  const calibration = await Calibration.open();
  try {
    for (const chain of CHAINS) {
      const rig = await Rig.open(chain);
      try {
        for (const family of FAMILIES)
          all.push(...(await measures(rig, chain, family, calibration, options)));
      } finally {
        rig.close();
      }
    }
    for (const open of WAYS) all.push(...(await measureWay(open, options)));
    return all;
  } finally {
    calibration.close();
  }
}

export const suite: Suite = {
  name: 'chains',
  summary:
    'ns of a packet through the cubes of the provider, established and new, next to its lookups and inserts alone',
  run,
};
