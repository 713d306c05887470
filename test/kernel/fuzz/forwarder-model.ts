// SPDX-License-Identifier: Apache-2.0

/** What a forwarder does with a packet, written from its schema. It shares no code with src/cubes/forwarder or bpf. */
import type { Forwarder, ForwarderAction } from '../../../src/api/generated/types.ts';
import { type Facts, Matcher } from './match-model.ts';

export interface ForwarderDecision {
  /** Place of the rule in the spec; undefined: the default action. */
  readonly rule: number | undefined;
  readonly action: ForwarderAction;
}

export class ForwarderModel {
  /** In the order of trial. */
  readonly #rules: readonly {
    place: number;
    inPorts: readonly string[];
    match: Matcher;
    action: ForwarderAction;
  }[];
  readonly #fallback: ForwarderAction;

  constructor({ rules, defaultAction }: Forwarder) {
    this.#fallback = defaultAction;
    this.#rules = rules
      .map((rule, place) => ({ rule, place }))
      .toSorted((a, b) => a.rule.priority - b.rule.priority || a.place - b.place)
      .map(({ rule, place }) => {
        const { inPorts = [], action } = rule;
        return { place, inPorts, action, match: new Matcher(rule) };
      });
  }

  /** @param port name of the port that the packet came in by. */
  decide(facts: Facts, port: string): ForwarderDecision {
    const found = this.#rules.find(
      ({ inPorts, match }) => (inPorts.length === 0 || inPorts.includes(port)) && match.matches(facts),
    );
    return found ? { rule: found.place, action: found.action } : { rule: undefined, action: this.#fallback };
  }
}
