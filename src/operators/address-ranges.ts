// SPDX-License-Identifier: Apache-2.0
/** Which addresses a pool has. Pure. */
import type { AddressPoolCubeTableSpec } from '../api/generated/types.ts';
import { type Address, addressBits, formatAddress, hostMask, parseAddress, parsePrefix } from '../api/ip.ts';
import type { Diagnostics } from './diagnostic.ts';

type RangeInput = AddressPoolCubeTableSpec['addressPool']['ranges'][number];

/** Both ends are part of it. */
export interface AddressRange {
  readonly family: Address['family'];
  readonly first: bigint;
  readonly last: bigint;
}

/** A CubeTable of type AddressPool. */
export interface AddressPool {
  readonly name: string;
  readonly ranges: readonly AddressRange[];
  /** Services get addresses of it without naming it. */
  readonly isAutomatic: boolean;
}

/** Ranges of a pool; those that contradict themselves are left out and told. */
export function rangesOf(inputs: readonly RangeInput[], diagnostics: Diagnostics): AddressRange[] {
  return inputs.flatMap((input, index) => {
    const range = input.prefix === undefined ? between(input) : within(input.prefix);
    if (range !== undefined && range.first <= range.last) return [range];
    const said = input.prefix ?? `${input.first} to ${input.last}`;
    diagnostics.add(
      'InvalidRange',
      `spec.addressPool.ranges[${index}]`,
      `${said} is no range of addresses`,
      'give a prefix, or two addresses of one family, the lower one first',
    );
    return [];
  });
}

function between({ first, last }: RangeInput): AddressRange | undefined {
  const [from, to] = [parseAddress(first ?? ''), parseAddress(last ?? '')];
  if (from === undefined || to === undefined || from.family !== to.family) return undefined;
  return { family: from.family, first: from.value, last: to.value };
}

/** Without the addresses that mean the network itself, and IPv4's broadcast (RFC 950; RFC 4291 2.6.1, RFC 6164). */
function within(text: string): AddressRange | undefined {
  const prefix = parsePrefix(text);
  if (prefix === undefined) return undefined;
  const { family, value } = prefix;
  const first = value & ~hostMask(prefix);
  const last = value | hostMask(prefix);
  if (addressBits(family) - prefix.length <= 1) return { family, first, last };
  return { family, first: first + 1n, last: family === 4 ? last - 1n : last };
}

export function holds({ ranges }: AddressPool, { family, value }: Address): boolean {
  return ranges.some((range) => range.family === family && range.first <= value && value <= range.last);
}

/** The addresses of a pool that are not taken, in the order of its ranges. What is taken may only grow meanwhile. */
export class FreeAddresses {
  readonly #addresses: Record<Address['family'], Generator<string>>;

  constructor({ ranges }: AddressPool) {
    this.#addresses = { 4: addressesIn(ranges, 4), 6: addressesIn(ranges, 6) };
  }

  /** The next one of a family, which is never given again; undefined: there is none. */
  next(family: Address['family'], isTaken: (address: string) => boolean): string | undefined {
    for (;;) {
      const { value, done } = this.#addresses[family].next();
      if (done === true) return undefined;
      if (!isTaken(value)) return value;
    }
  }
}

function* addressesIn(ranges: readonly AddressRange[], family: Address['family']): Generator<string> {
  for (const { family: own, first, last } of ranges)
    for (let value = first; own === family && value <= last; value++) yield formatAddress({ family, value });
}
