// SPDX-License-Identifier: Apache-2.0

/**
 * What a packet of an established connection costs on its way through LoadBalancer and Router, next to the map lookups
 * of that way alone: the same keys in the same maps, in the same order, without anything done with them.
 *
 * Each run of BPF_PROG_TEST_RUN is a packet of a random flow (test/kernel/fixtures/flows.bpf.c); what writing the packet
 * costs is measured by itself and taken off.
 */
import type { BpfObject } from '../../../src/dataplane/kernel/addon/index.ts';
import { Calibration } from '../calibration.ts';
import { FAMILIES, type Flow, Rig } from '../flows.ts';
import type { Suite, SuiteOptions } from '../main.ts';
import { interleave, type Measure, measureOf, ratios } from '../measure.ts';

/** ns a packet may take beside its lookups: parsing, rewriting with checksums, tail calls, counters, session state. */
const GOAL = 60;

async function run({ quick, say }: SuiteOptions): Promise<readonly Measure[]> {
  const rounds = quick ? 5 : 21;
  const repeat = quick ? 200_000 : 1_000_000;
  const count = quick ? 2048 : 8192;
  const rig = await Rig.open();
  const calibration = await Calibration.open();
  try {
    const measures: Measure[] = [];
    for (const family of FAMILIES) {
      const many = rig.establish(family, count);
      say(`${family}: ${count} connections established`);
      const senders = {
        many: await rig.sender(many),
        one: await rig.sender(many.slice(0, 1)),
        replies: await rig.sender(many, true),
      };
      const time = (sender: BpfObject, what: 'chain' | 'lookups' | 'end', flow: Flow): number => {
        const program = what === 'chain' ? rig.chain.entry : sender.program(what);
        sender.map('next').setProgram(0, program);
        return sender.program('next_flow').testRun({ dataIn: flow.frame, repeat }).duration;
      };
      const alternatives: Record<string, () => number> = {};
      for (const [name, sender] of Object.entries(senders)) {
        for (const what of ['end', 'chain', 'lookups'] as const) {
          if (name === 'replies' && what === 'lookups') continue;
          alternatives[`${name}-${what}`] = () => {
            if (name === 'replies') rig.fromServer();
            else rig.fromClient();
            return time(sender, what, many[0] as Flow);
          };
        }
      }
      alternatives.call = () => calibration.call((many[0] as Flow).frame, repeat);
      const before = rig.sent();
      const values = await interleave(rounds, alternatives, (round) =>
        say(`${family}: round ${round} of ${rounds}`),
      );
      expectAll(rig, before, (rounds + 1) * repeat);
      const minus = (a: string, b: string): number[] =>
        (values[a] as number[]).map((ns, index) => ns - (values[b]?.[index] as number));
      const add = (name: string, ns: number[], goal?: number): void => {
        const head = { name: `established.${name}.${family}`, unit: 'ns', better: 'lower' } as const;
        measures.push(measureOf(goal === undefined ? head : { ...head, goal }, ns));
      };
      for (const [label, name] of [
        [`${count}-flows`, 'many'],
        ['one-flow', 'one'],
      ] as const) {
        add(`packet.${label}`, minus(`${name}-chain`, `${name}-end`));
        add(`lookups.${label}`, minus(`${name}-lookups`, `${name}-end`));
        const beside = minus(`${name}-chain`, `${name}-lookups`);
        add(`beside-lookups.${label}`, beside, GOAL);
        measures.push(
          measureOf(
            {
              name: `established.beside-lookups/kernel-call.${label}.${family}`,
              unit: 'ratio',
              better: 'lower',
            },
            ratios(beside, values.call as number[]),
          ),
        );
      }
      add('kernel-call', values.call as number[]);
      add(`reply.${count}-flows`, minus('replies-chain', 'replies-end'));
    }
    return measures;
  } finally {
    calibration.close();
    rig.close();
  }
}

/** A figure counts only if every packet went the whole way. */
function expectAll(rig: Rig, before: Record<'requests' | 'replies', number>, each: number): void {
  const drops = rig.drops();
  if (drops > 0)
    throw new Error(`${drops} packets were dropped: what was measured is not the way of a packet`);
  const after = rig.sent();
  const wanted = { requests: 2 * each, replies: each };
  for (const way of ['requests', 'replies'] as const) {
    const sent = after[way] - before[way];
    if (sent !== wanted[way]) throw new Error(`${sent} of ${wanted[way]} ${way} left the chain`);
  }
}

export const suite: Suite = {
  name: 'established',
  summary: 'ns of an established packet through LoadBalancer and Router, next to its lookups alone',
  run,
};
