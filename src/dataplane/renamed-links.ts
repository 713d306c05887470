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
): { readonly renames: readonly Rename[]; readonly links: ReadonlyMap<string, Link> } {
  const attachmentOf = (pin: string, ifindex: number): string => `${programOfPin(pin)} ${ifindex}`;
  const pins = new Map([...observed].map(([pin, { ifindex }]) => [attachmentOf(pin, ifindex), pin]));
  const moving = [...desired].flatMap(([pin, { ifindex }]) => {
    const from = pins.get(attachmentOf(pin, ifindex));
    return from === undefined || observed.get(pin)?.ifindex === ifindex ? [] : [{ from, pin }];
  });
  const given = new Set(moving.map(({ from }) => from));
  const [first, then, last]: [Rename[], Rename[], Rename[]] = [[], [], []];
  for (const { from, pin } of moving) {
    if (!given.has(pin)) {
      then.push({ from, pin });
      continue;
    }
    // another one still has the name
    const between = `${ON_THE_WAY}${pin}`;
    if (from !== between) first.push({ from, pin: between });
    last.push({ from: between, pin });
    given.delete(from);
  }
  const renames = [...first, ...then, ...last];
  const links = new Map(observed);
  for (const { from, pin } of renames) {
    links.set(pin, links.get(from) as Link);
    links.delete(from);
  }
  return { renames, links };
}
