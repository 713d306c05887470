// SPDX-License-Identifier: Apache-2.0

/** What a list says of an address (LIST_* of bpf/ddos-mitigator/ddos-mitigator.h). */
export const DENY = 1;
export const ALLOW = 2;

export type Kind = typeof DENY | typeof ALLOW;
/** 0: nothing. */
export type Said = Kind | 0;
