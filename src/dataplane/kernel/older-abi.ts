// SPDX-License-Identifier: Apache-2.0
/**
 * Taking over from an agent of an older cube ABI. Its programs and ours never share a prog array; its tables of sessions do
 * not depend on the ABI, so both use the same maps until the last link has moved to ours.
 */
import { lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { programOfPin } from '../names.ts';
import { BpfMap, CgroupLink, type LinkInfo, TcxLink, unpin, XdpLink } from './addon/index.ts';
import { type LinkType, withLink, withProgram } from './links.ts';
import { names, type Pins, removeIfEmpty } from './pins.ts';

export interface OlderAbi {
  readonly abi: number;
  /** Pin name of an interface → ifindex of its attachment; 0: the device is gone. */
  readonly links: ReadonlyMap<string, number>;
  /** The same at XDP. */
  readonly xdp: ReadonlyMap<string, number>;
  /** Pin name of an attachment at a cgroup → the cgroup. */
  readonly cgroup: ReadonlyMap<string, string>;
}

/** The newest ABI below ours that has pins; undefined where there is none. */
function olderAbi(pins: Pins): number | undefined {
  const found = names(pins.nodeRoot)
    .filter((name) => /^v\d+$/.test(name))
    .map((name) => Number(name.slice(1)))
    .filter((abi) => abi < pins.abi);
  return found.length === 0 ? undefined : Math.max(...found);
}

const rootOf = (pins: Pins, abi: number): string => join(pins.nodeRoot, `v${abi}`);

/** Pins the older one's state maps among ours, where we have none of the same name. May be done again. */
export function inheritState(pins: Pins): void {
  const abi = olderAbi(pins);
  if (abi === undefined) return;
  const cubes = join(rootOf(pins, abi), 'cubes');
  for (const cube of names(cubes)) {
    const ours = new Set(names(join(pins.cube(cube), 'state')));
    for (const pin of names(join(cubes, cube, 'state'))) {
      if (ours.has(pin)) continue;
      mkdirSync(join(pins.cube(cube), 'state'), { recursive: true, mode: 0o700 });
      const map = BpfMap.openPinned(join(cubes, cube, 'state', pin));
      try {
        map.pin(pins.stateMap(cube, pin));
      } finally {
        map.close();
      }
    }
  }
}

export function observeOlder(pins: Pins): OlderAbi | undefined {
  const abi = olderAbi(pins);
  if (abi === undefined) return undefined;
  const root = rootOf(pins, abi);
  return {
    abi,
    links: attachments(join(root, 'links'), TcxLink, ({ ifindex }) => ifindex),
    xdp: attachments(join(root, 'xdp'), XdpLink, ({ ifindex }) => ifindex),
    cgroup: attachments(join(root, 'cgroup'), CgroupLink, ({ cgroup }) => cgroup),
  };
}

/** Pin name of each attachment → what it is attached to. */
function attachments<Info extends LinkInfo, Target>(
  folder: string,
  type: LinkType<Info>,
  targetOf: (info: Info) => Target,
): Map<string, Target> {
  const read = (name: string) => withLink(type, join(folder, name), (link) => targetOf(link.info()));
  return new Map(names(folder).map((name) => [name, read(name)]));
}

/** Gives an attachment of the older one our entry program, in one step, and pins it among ours. */
export function takeOverLink(pins: Pins, abi: number, pin: string, entry: string): void {
  takeOver(
    join(rootOf(pins, abi), 'links', pin),
    TcxLink,
    pins.program(programOfPin(pin), entry),
    pins.link(pin),
  );
}

/** The same at XDP. */
export function takeOverXdp(pins: Pins, abi: number, pin: string, entry: string): void {
  takeOver(join(rootOf(pins, abi), 'xdp', pin), XdpLink, pins.program('xdp', entry), pins.xdpLink(pin));
}

/** The same at a cgroup, with a program of an instance. */
export function takeOverCgroup(pins: Pins, abi: number, pin: string, program: string): void {
  takeOver(join(rootOf(pins, abi), 'cgroup', pin), CgroupLink, program, pins.cgroupLink(pin));
}

function takeOver(path: string, type: LinkType, entry: string, target: string): void {
  withProgram(entry, (program) =>
    withLink(type, path, (link) => {
      link.update(program);
      link.pin(target, { replace: true });
    }),
  );
  unpin(path);
}

/** Removes all pins of the older one: links first, which detaches those that nobody took over. */
export function removeOlder(pins: Pins, abi: number): void {
  const root = rootOf(pins, abi);
  for (const folder of ['xdp', 'links', 'cgroup', 'programs', 'cubes', 'node'])
    removeTree(join(root, folder));
  removeTree(root);
}

function removeTree(path: string): void {
  for (const name of names(path)) {
    const child = join(path, name);
    if (lstatSync(child).isDirectory()) removeTree(child);
    else unpin(child);
  }
  removeIfEmpty(path);
}
