// SPDX-License-Identifier: Apache-2.0

/** How long each step of a call took, for the agent's log: what is slow on a node shows there. */
export class Steps {
  /** Step → milliseconds, to a tenth. */
  readonly took: Record<string, number> = {};

  /** Does a step; one that fails is counted too. */
  async of<T>(name: string, work: () => T | Promise<T>): Promise<T> {
    const startedAt = performance.now();
    try {
      return await work();
    } finally {
      this.took[name] = Math.round((performance.now() - startedAt) * 10) / 10;
    }
  }
}
