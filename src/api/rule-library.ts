// SPDX-License-Identifier: Apache-2.0
/** What twins of CEL rules may call: the functions that the API server adds to CEL (Kubernetes 1.31 and later). */
import { hostMask, parseAddress, parsePrefix } from './ip.ts';
import type { RuleLibrary } from './schemas/schema.ts';

export const RULE_LIBRARY: RuleLibrary = {
  isIP: (text) => parseAddress(text) !== undefined,
  isCIDR: (text) => parsePrefix(text) !== undefined,
  family: (text) => (text.includes(':') ? 6 : 4),
  isMasked: (text) => {
    const prefix = parsePrefix(text);
    return prefix !== undefined && (prefix.value & hostMask(prefix)) === 0n;
  },
};
