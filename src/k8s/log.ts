// SPDX-License-Identifier: Apache-2.0

/** What this runtime says while it works; a pino logger fits. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

const nothing = (): void => undefined;

/** Says nothing. */
export const SILENT: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing };
