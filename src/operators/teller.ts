// SPDX-License-Identifier: Apache-2.0
import type { EventTarget } from '../k8s/events.ts';
import type { ControllerContext } from './context.ts';
import { type Diagnostic, diagnosticText } from './diagnostic.ts';

/** Tells what could not be translated, in the log and by events, each problem once. */
export class Teller {
  readonly #context: ControllerContext;
  /** What was last said about an owner. */
  readonly #told = new Map<string, string>();

  constructor(context: ControllerContext) {
    this.#context = context;
  }

  /** @param target the object that the diagnostics are about; undefined when it is gone. */
  tell(owner: string, target: EventTarget | undefined, diagnostics: readonly Diagnostic[]): void {
    const { events, log } = this.#context;
    const text = diagnostics.map(diagnosticText).join('\n');
    if (text === (this.#told.get(owner) ?? '')) return;
    if (text === '') this.#told.delete(owner);
    else this.#told.set(owner, text);
    if (target === undefined) return;
    for (const diagnostic of diagnostics) {
      const note = diagnosticText(diagnostic);
      log.warn({ reason: diagnostic.reason }, note);
      events.record(target, { type: 'Warning', reason: diagnostic.reason, action: 'Translate', note });
    }
  }
}
