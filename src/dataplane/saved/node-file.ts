// SPDX-License-Identifier: Apache-2.0
import type { AgentLog } from '../agent-options.ts';
import { textOf } from '../errors.ts';
import { readJson, writeAtomically } from '../files.ts';
import type { NodeObject } from '../objects.ts';

/**
 * The Node object on disk: an agent that starts knows by it, before its source is heard, which interface is the uplink and
 * which addresses are for pods.
 */
export class NodeFile {
  readonly #path: string;
  readonly #log: AgentLog;
  /** As it stands in the file. */
  #text = '';
  #last: NodeObject | undefined;

  constructor(path: string, log: AgentLog) {
    this.#path = path;
    this.#log = log;
  }

  /** Never throws: the source will tell. */
  load(): NodeObject | undefined {
    try {
      const saved = readJson(this.#path) as NodeObject | undefined;
      if (saved !== undefined) this.#text = textOfNode(saved);
      return saved;
    } catch (error) {
      this.#log.warn({ error: textOf(error) }, 'the Node object is not known before the source is heard');
      return undefined;
    }
  }

  /** Writes it where it differs in what the agent looks at; a Node without an object keeps the last one. */
  save(node: NodeObject | undefined): void {
    if (node === undefined || node === this.#last) return;
    this.#last = node;
    const text = textOfNode(node);
    if (text === this.#text) return;
    try {
      writeAtomically(this.#path, text);
      this.#text = text;
    } catch (error) {
      this.#last = undefined; // tried again with the next round
      this.#log.warn({ error: textOf(error) }, 'the Node object was not saved');
    }
  }
}

function textOfNode({ metadata: { annotations: _, ...metadata }, spec, status }: NodeObject): string {
  const { podCIDR, podCIDRs, taints } = spec;
  return JSON.stringify({
    metadata,
    spec: { podCIDR, podCIDRs, taints },
    status: { addresses: status?.addresses ?? [] },
  });
}
