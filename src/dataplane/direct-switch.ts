// SPDX-License-Identifier: Apache-2.0
/**
 * The change between the tunnel and direct routing. Nodes make it each at its own time, so while it is under way a node takes packets
 * of both ways: it accepts the direct one before any node sends by it, and for as long after the last one did. Pure.
 */

/** For all nodes to hear of the change and to follow it. */
export const SWITCH_SECONDS = 5;

export class DirectSwitch {
  #isWanted: boolean | undefined;
  /** When the change that is under way is over, s; in the time of `now`. */
  #until: number | undefined;

  /**
   * What is wanted now, at `now` seconds of a clock that never goes back. What is wanted first is what has been: of an agent that starts, it
   * is what the one before it did. A dry run only looks: a change that is due then must still be due for the round that makes it.
   */
  follow(isWanted: boolean, now: number, dry = false): void {
    if (dry && this.#isWanted !== undefined) return;
    if (this.#isWanted !== undefined && this.#isWanted !== isWanted) this.#until = now + SWITCH_SECONDS;
    else if (this.#until !== undefined && this.#until <= now) this.#until = undefined;
    this.#isWanted = isWanted;
  }

  /** Whether nodes of the subnet are sent to without the tunnel. */
  get sends(): boolean {
    return this.#isWanted === true && this.#until === undefined;
  }

  /** Whether what they send without it is taken for theirs. */
  get accepts(): boolean {
    return this.#isWanted === true || this.#until !== undefined;
  }

  /** When {@link follow} will change something by itself; undefined: never. */
  get dueAt(): number | undefined {
    return this.#until;
  }
}
