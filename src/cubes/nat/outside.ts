// SPDX-License-Identifier: Apache-2.0
/** The addresses that a NAT translates to: those of its port outside. */
import { formatAddress, hostPrefix, type Prefix, parsePrefix } from '../../api/ip.ts';
import type { CubePort, Problem } from '../cube-type.ts';

export interface OutsideAddress {
  readonly text: string;
  /** Of full length. */
  readonly prefix: Prefix;
}

/** Addresses that no host has, or that are of one link alone (RFC 6890, RFC 4291). */
export function isNoHost({ family, value }: Pick<Prefix, 'family' | 'value'>): boolean {
  if (family === 6) return value <= 1n || value >> 120n === 0xffn || value >> 118n === 0x3fan;
  const top = Number(value >> 24n);
  return top === 0 || top === 127 || top >= 224;
}

export function outsideAddresses(ports: readonly CubePort[], problems: Problem[]): OutsideAddress[] {
  const found = new Map<string, OutsideAddress>();
  for (const text of ports.find(({ name }) => name === 'outside')?.addresses ?? []) {
    const field = 'spec.ports[outside].addresses';
    const prefix = parsePrefix(text);
    if (!prefix || isNoHost(prefix)) {
      problems.push({
        reason: 'InvalidAddress',
        field,
        message: `${text} is no address of a host; write one with its prefix length, as 198.51.100.10/24`,
      });
      continue;
    }
    const address = formatAddress(prefix);
    if (found.has(address)) {
      problems.push({
        reason: 'DuplicateAddress',
        field,
        message: `${address} stands there twice, with two prefix lengths; remove one`,
      });
      continue;
    }
    found.set(address, { text: address, prefix: hostPrefix(prefix) });
  }
  return [...found.values()];
}
