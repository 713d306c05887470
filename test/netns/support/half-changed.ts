// SPDX-License-Identifier: Apache-2.0
/** Reasons of a packet that met a graph half changed. */
export const HALF_CHANGED = [
  'NoEdge',
  'StaleEpoch',
  'ChainNotProgrammed',
  'TailCallFailed',
  'HopLimit',
  'BackendInvalid',
];
