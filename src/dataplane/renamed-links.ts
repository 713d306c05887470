// SPDX-License-Identifier: Apache-2.0
/** Attachments whose interface has another name than before. Pure. */
import { programOfPin } from './names.ts';

/** No name of an interface begins so: `r` is no digit of a byte (names.ts). */
const ON_THE_WAY = '_r';

interface Rename {
  readonly from: string;
  readonly pin: string;
}

/**
 * A program is attached to an interface once: one that is there under another pin is named anew, not attached again. Where names
 * were exchanged a pin is first named for the time in between, which a plan after a killed one goes on from.
 *
 * @returns the renames in order, and the attachments as they are then.
 */
export function renamedLinks<Link extends { readonly ifindex: number }>(
  observed: ReadonlyMap<string, Link>,
  desired: ReadonlyMap<string, { readonly ifindex: number }>,
  program: ReturnType<typeof programOfPin>,
): { readonly renames: readonly Rename[]; readonly links: ReadonlyMap<string, Link> } {
  const links = new Map(observed);
  const renames: Rename[] = [];
  const move = (from: string, pin: string): void => {
    const link = links.get(from);
    if (link === undefined) return;
    links.delete(from);
    links.set(pin, link);
    renames.push({ from, pin });
  };
  const wanted = [...desired].filter(([pin]) => programOfPin(pin) === program);
  const pinOf = (ifindex: number): string | undefined =>
    [...links].find(([pin, link]) => link.ifindex === ifindex && programOfPin(pin) === program)?.[0];
  const moving = wanted.filter(([pin, { ifindex }]) => {
    const from = pinOf(ifindex);
    return from !== undefined && from !== pin;
  });
  for (const [pin, { ifindex }] of moving) {
    const holder = links.get(pin);
    const isWanted = holder !== undefined && wanted.some(([, other]) => other.ifindex === holder.ifindex);
    if (isWanted) move(pinOf(ifindex) ?? '', `${ON_THE_WAY}${pin}`);
  }
  // those that hold a name which another one waits for go first
  const isWaiting = ([, { ifindex }]: (typeof moving)[number]) =>
    pinOf(ifindex)?.startsWith(ON_THE_WAY) === true;
  for (const [pin, { ifindex }] of [...moving.filter((one) => !isWaiting(one)), ...moving.filter(isWaiting)])
    move(pinOf(ifindex) ?? '', pin);
  return { renames, links };
}
