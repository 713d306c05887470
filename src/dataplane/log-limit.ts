// SPDX-License-Identifier: Apache-2.0

/** A token bucket for lines of the log, which counts what it keeps back. Pure: time comes from the caller. */
export class LogLimit {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #at: number;
  #keptBack = 0;

  /** `now`: milliseconds of any clock. */
  constructor(perSecond: number, burst: number, now: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#at = now;
  }

  /** Whether a line may be written now; `keptBack` is what was not since the last one that was. */
  take(now: number): { readonly allowed: boolean; readonly keptBack: number } {
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) * this.#perSecond) / 1000);
    this.#at = now;
    if (this.#tokens < 1) {
      this.#keptBack++;
      return { allowed: false, keptBack: 0 };
    }
    this.#tokens--;
    const keptBack = this.#keptBack;
    this.#keptBack = 0;
    return { allowed: true, keptBack };
  }
}
