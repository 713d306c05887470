// SPDX-License-Identifier: Apache-2.0
/**
 * The entry program at a new pod's interface, until its tcx link is made: the kernel has a filter at once, and makes who
 * attaches a link wait for a grace period.
 */
import type { BpfProgram } from './addon/index.ts';
import {
  addClsact,
  clsactsIn,
  deleteClsact,
  deleteFilter,
  dumpFilters,
  dumpQdiscs,
  type Filter,
  filtersIn,
  type HOOKS,
  setFilter,
} from './rtnetlink/filter.ts';
import { refusalOf, tell } from './rtnetlink/tell.ts';

/** By it filters of ours are known. */
const NAME = 'cubeplane';

/** What the kernel says of what is gone already: no such interface, no clsact there, no filter. */
const GONE = new Set(['ENODEV', 'EINVAL', 'ENOENT']);

/** Returns whether the kernel has such filters; without them nothing was done. Throws AgentError. */
export async function attachFilter(program: BpfProgram, ifindex: number): Promise<boolean> {
  try {
    await tell([addClsact(ifindex), setFilter(ifindex, NAME, program.fd)]);
    return true;
  } catch (error) {
    // CONFIG_NET_SCH_INGRESS or CONFIG_NET_CLS_BPF is missing.
    if (refusalOf(error) === 'ENOENT' || refusalOf(error) === 'EOPNOTSUPP') return false;
    throw error;
  }
}

/** What is gone already, with its interface or without, is no error. Throws AgentError. */
export async function removeFilter(ifindex: number): Promise<void> {
  try {
    await tell([deleteFilter(ifindex)]);
    const hooks = ['ingress', 'egress'] as const;
    const left = await Promise.all(
      hooks.map(async (hook) => filtersIn(await tell([dumpFilters(ifindex, hook)]))),
    );
    // Others may have put theirs there as well.
    if (left.flat().length === 0) await tell([deleteClsact(ifindex)]);
  } catch (error) {
    if (!GONE.has(refusalOf(error) ?? '')) throw error;
  }
}

/** Interface → hash of the entry program that a filter of ours runs there; undefined: none of those given. */
export async function observeFilters(
  programs: ReadonlyMap<number, string>,
): Promise<Map<number, string | undefined>> {
  const found = new Map<number, string | undefined>();
  for (const ifindex of clsactsIn(await tell([dumpQdiscs()]))) {
    const ours = (await readFilters(ifindex, 'ingress')).find(({ name }) => name === NAME);
    if (ours !== undefined) found.set(ifindex, programs.get(ours.programId));
  }
  return found;
}

export interface ForeignFilter {
  readonly ifindex: number;
  readonly hook: keyof typeof HOOKS;
  readonly name: string;
}

/** Programs that somebody else has put there. Throws AgentError. */
export async function foreignFilters(): Promise<ForeignFilter[]> {
  const found: ForeignFilter[] = [];
  for (const ifindex of clsactsIn(await tell([dumpQdiscs()])))
    for (const hook of ['ingress', 'egress'] as const)
      for (const { name } of await readFilters(ifindex, hook))
        if (name !== '' && name !== NAME) found.push({ ifindex, hook, name });
  return found;
}

/** None where the interface or its clsact has gone since. */
async function readFilters(ifindex: number, hook: keyof typeof HOOKS): Promise<Filter[]> {
  return await tell([dumpFilters(ifindex, hook)]).then(filtersIn, (error) => {
    if (GONE.has(refusalOf(error) ?? '')) return [];
    throw error;
  });
}
