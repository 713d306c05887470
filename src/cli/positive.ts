// SPDX-License-Identifier: Apache-2.0
import { CliError, EXIT } from './errors.ts';

/** The number that an option gives. Throws CliError. */
export function positive(name: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new CliError(EXIT.usage, `${name} ${text} is not a positive whole number`, 'give for example 10');
}
