// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Action } from './actions.ts';
import { describeAction } from './actions.ts';
import { applyAction } from './apply-action.ts';
import { cgroupAttachments } from './cgroup-desired.ts';
import { EdgeKind, EMPTY_CONFIG, edgeIndex, edgeSlot, edgeWord } from './layout.ts';
import { instanceKey } from './names.ts';
import { danglingSlots, plan } from './plan.ts';
import { type DesiredState, EMPTY_KERNEL, type Instance, type KernelState, NO_CGROUP } from './state.ts';

/** Which revision of which cube runs, and who is linked to whom: enough to make any desired state. */
interface Shape {
  readonly entry: number;
  readonly cubes: readonly { readonly name: string; readonly revision: number }[];
  readonly pods: readonly number[];
  readonly interfaces: readonly number[];
  readonly xdp: readonly number[];
  /** Interfaces at which a filter does. */
  readonly isNew?: readonly number[];
}

const shape: fc.Arbitrary<Shape> = fc.record({
  entry: fc.integer({ min: 1, max: 2 }),
  cubes: fc.uniqueArray(
    fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), revision: fc.integer({ min: 1, max: 5 }) }),
    { selector: ({ name }) => name, maxLength: 4 },
  ),
  pods: fc.uniqueArray(fc.integer({ min: 10, max: 15 }), { maxLength: 3 }),
  interfaces: fc.uniqueArray(fc.integer({ min: 20, max: 24 }), { maxLength: 3 }),
  xdp: fc.uniqueArray(fc.integer({ min: 20, max: 24 }), { maxLength: 2 }),
  isNew: fc.uniqueArray(fc.integer({ min: 20, max: 24 }), { maxLength: 3 }),
});

/** As desired.ts places instances: those that are complete keep their slot, others get a free one. */
function desire(
  { entry, cubes, pods, interfaces, xdp, isNew = [] }: Shape,
  observed: KernelState,
): DesiredState {
  const instances = new Map<string, Instance>();
  const used = new Set([0, ...observed.slots.keys()]);
  for (const key of observed.instances.keys()) used.add(Number(key.split('/')[1]?.split('_')[0]));
  for (const { name, revision } of cubes) {
    const there = [...observed.instances].find(
      ([key, { complete }]) => complete && key.startsWith(`${name}/`) && key.endsWith(`_r${revision}`),
    );
    let slot = 1;
    if (there !== undefined) slot = Number(there[0].split('/')[1]?.split('_')[0]);
    else while (used.has(slot)) slot++;
    used.add(slot);
    instances.set(instanceKey(name, slot, `r${revision}`), {
      cubeKey: `ns/${name}`,
      cubePin: name,
      slot,
      hash: `r${revision}`,
      object: 'turn',
      program: 'turn',
      hook: revision === 2 ? 'XDP' : revision >= 4 ? 'Cgroup' : 'TC',
      cgroupPrograms: revision >= 4 ? ['connect4', 'connect6'] : [],
      transparent: false,
      rodata: {},
      sizes: {},
      stateMaps: new Map([['rows', `rows_1_${revision === 3 ? 64 : 32}`]]),
      carried: new Map([
        ['rows', { version: 1, size: revision === 3 ? 64 : 32, writer: 'program' as const }],
      ]),
      configMaps: ['label'],
    });
  }
  const slots = [...instances.values()].filter(({ hook }) => hook !== 'Cgroup').map(({ slot }) => slot);
  const edges = new Map<number, bigint>();
  for (const [i, slot] of slots.entries()) {
    edges.set(edgeIndex(slot, 0), edgeWord(EdgeKind.Cube, slots[(i + 1) % slots.length] ?? slot, 1));
    edges.set(edgeIndex(0, i + 1), edgeWord(EdgeKind.Cube, slot, 0));
  }
  return {
    entry: `e${entry}`,
    instances,
    edges,
    config: EMPTY_CONFIG,
    rows: {
      attachments: new Map(
        interfaces.map((i) => [`${i.toString(16).padStart(2, '0')}000000`, '00'.repeat(80)]),
      ),
      pods: new Map(pods.map((i) => [`${i}`.padStart(32, '0'), '00'.repeat(12)])),
      overlay_sources: new Map(),
      host_addresses: new Map(),
    },
    links: new Map(
      interfaces.map((i) => [`eth${i}`, { ifindex: i, name: `eth${i}`, isNew: isNew.includes(i) }]),
    ),
    xdp: {
      entry: xdp.length === 0 ? undefined : `x${entry}`,
      links: new Map(xdp.map((i) => [`eth${i}`, { ifindex: i, name: `eth${i}` }])),
    },
    cgroup: cgroupAttachments(instances, { path: '/cgroup', id: String(entry) }),
  };
}

function run(state: KernelState, actions: readonly Action[]): KernelState {
  return actions.reduce(applyAction, state);
}

/** A killed agent leaves no mark of its grace: the next one must assume that packets are under way. */
function restarted(state: KernelState): KernelState {
  const slots = new Map(
    [...state.slots].map(([slot, key]) => [slot, state.instances.get(key)?.complete ? key : '?']),
  );
  return { ...state, slots, graceDue: state.ready };
}

describe('a plan', () => {
  test('leads to what is desired, and then there is nothing to do', () => {
    fc.assert(
      fc.property(fc.array(shape, { minLength: 1, maxLength: 6 }), (shapes) => {
        let state: KernelState = EMPTY_KERNEL;
        for (const next of shapes) {
          const desired = desire(next, state);
          state = run(state, plan(state, desired));
          expect(plan(state, desire(next, state))).toEqual([]);
          expect([...state.banks[(state.epoch & 1) as 0 | 1]]).toEqual(
            expect.arrayContaining([...desired.edges]),
          );
          expect([...state.instances.keys()].sort()).toEqual([...desired.instances.keys()].sort());
          const inSlots = [...desired.instances]
            .filter(([, { hook }]) => hook !== 'Cgroup')
            .map(([key]) => key);
          expect([...state.slots.values()].sort()).toEqual(inSlots.sort());
          expect([...state.cgroup.keys()].sort()).toEqual([...desired.cgroup.keys()].sort());
          // Each interface has the program once.
          const linked = [...state.links.values()].map(({ ifindex }) => ifindex);
          expect([...linked, ...state.filters.keys()].sort()).toEqual([...next.interfaces].sort());
        }
      }),
    );
  });

  test('cut off after any action, leads on to the same state, and no edge in force ever leads to an empty slot', () => {
    fc.assert(
      fc.property(shape, shape, fc.nat(), (first, second, cut) => {
        let state = run(EMPTY_KERNEL, plan(EMPTY_KERNEL, desire(first, EMPTY_KERNEL)));
        const actions = plan(state, desire(second, state));
        for (const action of actions.slice(0, cut % (actions.length + 1))) {
          state = applyAction(state, action);
          expect(danglingSlots(state)).toEqual([]);
        }
        state = restarted(state);
        for (const action of plan(state, desire(second, state))) {
          state = applyAction(state, action);
          expect(danglingSlots(state)).toEqual([]);
        }
        expect(plan(state, desire(second, state))).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test('writes only the idle bank, and reuses no slot before the grace', () => {
    fc.assert(
      fc.property(fc.array(shape, { minLength: 2, maxLength: 5 }), (shapes) => {
        let state: KernelState = EMPTY_KERNEL;
        for (const next of shapes) {
          for (const action of plan(state, desire(next, state))) {
            if (action.op === 'WriteEdges') {
              expect(action.bank).not.toBe(state.epoch & 1);
              expect(state.graceDue).toBe(false);
            }
            if (action.op === 'ClearSlot' || action.op === 'RemoveInstance')
              expect(state.graceDue).toBe(false);
            if (action.op === 'SetSlot') expect(slotsInForce(state)).not.toContain(action.slot);
            state = applyAction(state, action);
          }
        }
      }),
    );
  });

  test('attaches after the flip and detaches before anything is taken away', () => {
    const wanted: Shape = {
      entry: 1,
      cubes: [{ name: 'a', revision: 1 }],
      pods: [10],
      interfaces: [20],
      xdp: [],
    };
    const made = plan(EMPTY_KERNEL, desire(wanted, EMPTY_KERNEL)).map(({ op }) => op);
    expect(made).toEqual([
      'CreateMaps',
      'LoadEntry',
      'LoadInstance',
      'SetSlot',
      'PinProgram',
      'WriteRows',
      'WriteRows',
      'WriteEdges',
      'Flip',
      'Grace',
      'Attach',
    ]);
    const state = run(EMPTY_KERNEL, plan(EMPTY_KERNEL, desire(wanted, EMPTY_KERNEL)));
    const nothing: Shape = { entry: 1, cubes: [], pods: [], interfaces: [], xdp: [] };
    const removed = plan(state, desire(nothing, state)).map(({ op }) => op);
    expect(removed).toEqual([
      'Flip',
      'Grace',
      'Detach',
      'DeleteRows',
      'DeleteRows',
      'ClearSlot',
      'RemoveInstance',
      'RemoveStateMaps',
    ]);
  });

  test('XDP is attached last, after the cube that it leads to is in force, and taken off first', () => {
    const wanted: Shape = {
      entry: 1,
      cubes: [{ name: 'a', revision: 2 }],
      pods: [],
      interfaces: [20],
      xdp: [20],
    };
    const made = plan(EMPTY_KERNEL, desire(wanted, EMPTY_KERNEL)).map(({ op }) => op);
    expect(made.slice(0, 4)).toEqual(['CreateMaps', 'LoadEntry', 'LoadXdpEntry', 'LoadInstance']);
    expect(made.slice(-3)).toEqual(['Grace', 'Attach', 'AttachXdp']);
    const state = run(EMPTY_KERNEL, plan(EMPTY_KERNEL, desire(wanted, EMPTY_KERNEL)));
    expect(plan(state, desire(wanted, state))).toEqual([]);
    const newer = plan(state, desire({ ...wanted, entry: 2 }, state));
    expect(newer.map(({ op }) => op)).toEqual([
      'LoadEntry',
      'LoadXdpEntry',
      'UpdateLink',
      'UpdateXdp',
      'RemoveEntry',
      'RemoveXdpEntry',
    ]);
    const removed = plan(state, desire({ ...wanted, cubes: [], interfaces: [], xdp: [] }, state));
    expect(removed[0]).toEqual({ op: 'DetachXdp', pin: 'eth20' });
    expect(removed.at(-1)).toEqual({ op: 'RemoveXdpEntry', hash: 'x1' });
  });

  test('a new interface has the program by a filter, and later by a link before the filter goes', () => {
    const wanted = { entry: 1, cubes: [], pods: [], interfaces: [20], xdp: [], isNew: [20] };
    const start: KernelState = { ...EMPTY_KERNEL, ready: true, entry: 'e1' };
    const made = plan(start, desire(wanted, start));
    expect(made.at(-1)).toEqual({ op: 'AttachFilter', name: 'eth20', ifindex: 20, entry: 'e1' });
    expect(made.map(describeAction).at(-1)).toBe(
      'attach the entry program to interface eth20 (20) by a filter',
    );
    const state = run(start, made);
    const later = plan(state, desire({ ...wanted, isNew: [] }, state));
    expect(later.map(({ op }) => op)).toEqual(['Attach', 'RemoveFilter']);
    // One that has its link keeps it, new or not.
    const linked = run(state, later);
    expect(plan(linked, desire(wanted, linked))).toEqual([]);
    // An agent with another entry program does not leave the earlier one there.
    expect(plan(state, desire({ ...wanted, entry: 2 }, state)).map(({ op }) => op)).toEqual([
      'LoadEntry',
      'AttachFilter',
      'RemoveEntry',
    ]);
    const gone = plan(state, desire({ ...wanted, interfaces: [] }, state));
    expect(gone.map(describeAction)).toContain('remove the filter of interface 20');
  });

  test('can be read', () => {
    const wanted: Shape = {
      entry: 1,
      cubes: [{ name: 'a', revision: 1 }],
      pods: [],
      interfaces: [20],
      xdp: [],
    };
    const lines = plan(EMPTY_KERNEL, desire(wanted, EMPTY_KERNEL)).map(describeAction);
    expect(lines).toContain('load turn for Cube ns/a as r1, meant for slot 1');
    expect(lines).toContain(
      'write edges of idle bank 1: slot 0 port 1 → slot 1 port 0, slot 1 port 0 → slot 1 port 1',
    );
    expect(lines).toContain('attach the entry program to interface eth20 (20)');
  });

  test('gives each call at a cgroup another program in one step, and only then removes the one before', () => {
    const at = (revision: number, entry = 1): Shape => ({
      entry,
      cubes: [{ name: 'a', revision }],
      pods: [],
      interfaces: [],
      xdp: [],
    });
    const made = plan(EMPTY_KERNEL, desire(at(4), EMPTY_KERNEL));
    expect(made.map(describeAction)).toContain('attach connect4 of a/1_r4 to cgroup /cgroup');
    expect(made.map(({ op }) => op)).not.toContain('SetSlot');
    const state = run(EMPTY_KERNEL, made);
    expect(plan(state, desire(at(5), state)).map(({ op }) => op)).toEqual([
      'LoadInstance',
      'PinProgram',
      'UpdateCgroup',
      'UpdateCgroup',
      'Grace',
      'RemoveInstance',
    ]);
    const gone = {
      ...state,
      cgroup: new Map([...state.cgroup].map(([pin, link]) => [pin, { ...link, cgroup: NO_CGROUP }])),
    };
    expect(plan(gone, desire(at(4), gone)).map(({ op }) => op)).toEqual(['AttachCgroup', 'AttachCgroup']);
    const none = desire({ ...at(4), cubes: [] }, state);
    expect(
      plan(state, none)
        .map(({ op }) => op)
        .slice(0, 2),
    ).toEqual(['DetachCgroup', 'DetachCgroup']);
  });

  test('attaches the program of copies before there are any', () => {
    const wanted: Shape = {
      entry: 1,
      cubes: [{ name: 'a', revision: 1 }],
      pods: [],
      interfaces: [20],
      xdp: [],
    };
    const desired = desire(wanted, EMPTY_KERNEL);
    const cut = {
      ...desired,
      links: new Map(desired.links).set('eth20_out', { ifindex: 20, name: 'eth20' }),
    };
    const actions = plan(EMPTY_KERNEL, cut);
    expect(actions.map(describeAction)).toContain('attach the program of copies to interface eth20 (20)');
    const at = (op: Action['op'], pin?: string) =>
      actions.findIndex((action) => action.op === op && (!('pin' in action) || action.pin === pin));
    expect(at('Attach', 'eth20_out')).toBeGreaterThan(-1);
    expect(at('Attach', 'eth20_out')).toBeLessThan(at('Flip'));
    expect(at('Attach', 'eth20')).toBeGreaterThan(at('Flip'));
    const state = run(EMPTY_KERNEL, actions);
    expect(plan(state, { ...cut, instances: desire(wanted, state).instances })).toEqual([]);
    expect(plan(state, desire(wanted, state))).toEqual([{ op: 'Detach', pin: 'eth20_out' }]);
  });
});

function slotsInForce(state: KernelState): (number | undefined)[] {
  return [...state.banks[(state.epoch & 1) as 0 | 1].values()].map(edgeSlot);
}
