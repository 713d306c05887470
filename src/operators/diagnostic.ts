// SPDX-License-Identifier: Apache-2.0
import type { TRANSLATION_REASONS } from '../api/reasons.ts';

/** Something in an input that could not be translated. The rest of the object still is. */
export interface Diagnostic {
  /** `Kind namespace/name`. */
  object: string;
  /** Path of the field, such as `spec.externalIPs[1]`. */
  field: string;
  /** One word, PascalCase; the reason of the event that tells it. */
  reason: keyof typeof TRANSLATION_REASONS;
  message: string;
  remedy: string;
}

/** Gathers the diagnostics of one object. */
export class Diagnostics {
  readonly list: Diagnostic[] = [];
  readonly #object: string;

  constructor(object: string) {
    this.#object = object;
  }

  /** Adds one; `object` when it is about another object than the one translated. */
  add(reason: Diagnostic['reason'], field: string, message: string, remedy: string, object?: string): void {
    // A Service with a thousand bad endpoints has one problem, not a thousand.
    if (this.list.length < MOST)
      this.list.push({ object: object ?? this.#object, field, reason, message, remedy });
  }
}

const MOST = 16;

/** `Service default/web: spec.externalIPs[1]: not an IP address (correct it)`. */
export function diagnosticText(diagnostic: Diagnostic): string {
  return `${diagnostic.object}: ${diagnostic.field}: ${diagnostic.message} (${diagnostic.remedy})`;
}

/** A value of an input in a message. Inputs are JSON, and any member may be any of it, whatever its type says. */
export function shown(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing');
}
