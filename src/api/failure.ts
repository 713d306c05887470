// SPDX-License-Identifier: Apache-2.0

/** One thing that is wrong with a manifest. */
export interface Failure {
  /** A ManifestReason, or the id of a rule. */
  reason: string;
  /** Path of the field, such as `spec.router.routes[0].nextHop`; empty for the whole document. */
  field: string;
  /** What is wrong, without object and field. */
  problem: string;
  /** What to do about it. */
  remedy: string;
  /** True when a CEL rule says the same in the API server, word for word. */
  rule?: true;
}
