// SPDX-License-Identifier: Apache-2.0
/**
 * Members of what a runtime adds to a configuration, by their names in the CNI conventions. containerd writes Go's own names
 * (`HostPort`), which the plugins of the CNI project read because Go's decoder ignores case. Pure.
 */
export function byNames(
  object: Readonly<Record<string, unknown>>,
  names: readonly string[],
): Record<string, unknown> {
  const known = new Map(names.map((name) => [name.toLowerCase(), name]));
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) => [known.get(key.toLowerCase()) ?? key, value]),
  );
}
