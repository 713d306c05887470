// SPDX-License-Identifier: Apache-2.0
import { hostname } from 'node:os';
import { isDnsSubdomain } from '../api/names.ts';
import { CliError, EXIT } from './errors.ts';

/** The node that a command is about: what was given, else this machine's host name. @throws CliError for what cannot name one. */
export function nodeOf(options: { readonly node?: string }): string {
  const node = options.node ?? hostname().toLowerCase();
  if (isDnsSubdomain(node)) return node;
  throw new CliError(
    EXIT.usage,
    `${JSON.stringify(node)} cannot be the name of a node`,
    'give --node NAME: lower-case letters, digits, hyphens, dots',
  );
}
