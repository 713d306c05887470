// SPDX-License-Identifier: Apache-2.0
/** What both kinds of rules need. */
import type { Family } from '../../api/ip.ts';
import type { Problem } from '../cube-type.ts';

export const FAMILIES: readonly Family[] = [4, 6];

/** IPPROTO_* of what rules call by name; ICMP stands for both. */
export const PROTOCOLS = { TCP: [6], UDP: [17], SCTP: [132], ICMP: [1, 58] } as const;

export function problem(reason: string, field: string, message: string): Problem {
  return { reason, field, message };
}
