// SPDX-License-Identifier: Apache-2.0

/** How often chance decided for and against, and whether such a share can be chance. */
export class Samples {
  readonly #of = new Map<number, { trials: number; hits: number }>();

  /** One decision of those that are for it once in `oneIn` times. */
  add(oneIn: number, hit: boolean): void {
    const { trials, hits } = this.#of.get(oneIn) ?? { trials: 0, hits: 0 };
    this.#of.set(oneIn, { trials: trials + 1, hits: hits + (hit ? 1 : 0) });
  }

  /** Shares more than seven standard deviations off: of right ones, one in 10^11. */
  improbable(): string[] {
    return [...this.#of].flatMap(([oneIn, { trials, hits }]) => {
      const mean = trials / oneIn;
      const deviation = Math.sqrt(mean * (1 - 1 / oneIn));
      // below that a few hits are no normal distribution
      if (mean < 50 || Math.abs(hits - mean) <= 7 * deviation) return [];
      return [`${hits} of ${trials} were sampled, with one in ${oneIn}`];
    });
  }
}
