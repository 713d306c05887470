// SPDX-License-Identifier: Apache-2.0
/** The CNI part of an agent: started and ended with it. */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { AgentLog } from '../agent-options.ts';
import { textOf } from '../errors.ts';
import { readJson, writeAtomically } from '../files.ts';
import { Afterwork } from './afterwork.ts';
import { Attachments } from './attachments.ts';
import type { CniAgent, CniNode } from './cni-node.ts';
import { type CniOptions, Installation } from './installation.ts';
import { KnownPods } from './known-pods.ts';
import { recover } from './recover.ts';
import { CniServer } from './server.ts';
import { CniService } from './service.ts';

export class Cni {
  readonly #agent: CniAgent;
  readonly #log: AgentLog;
  readonly #attachments: Attachments;
  readonly #known: KnownPods;
  readonly #afterwork: Afterwork;
  readonly #node: CniNode;
  readonly #server: CniServer;
  readonly #installation: Installation;
  readonly #rangesPath: string;
  #ranges: readonly string[] = [];
  #isStarted = false;

  /** @param stateDir the node's own folder of state. */
  constructor(agent: CniAgent, options: CniOptions, stateDir: string, log: AgentLog) {
    this.#agent = agent;
    this.#log = log;
    this.#attachments = new Attachments(stateDir);
    this.#installation = new Installation(options, stateDir);
    this.#rangesPath = join(stateDir, 'cni', 'ranges.json');
    this.#known = new KnownPods(stateDir);
    this.#afterwork = new Afterwork(agent, log);
    this.#node = {
      agent,
      afterwork: this.#afterwork,
      attachments: this.#attachments,
      known: this.#known,
      log,
      confDir: options.confDir,
      ranges: () => this.#ranges,
    };
    this.#server = new CniServer(new CniService(this.#node), options.socket);
  }

  /** Throws AgentError. Call it when the agent has read its own state. */
  async start(): Promise<void> {
    await this.#server.claim();
    for (const one of [this.#attachments, this.#known]) one.load((message) => this.#log.warn({}, message));
    this.#ranges = this.#savedRanges();
    this.#installation.installPlugin();
    await recover(this.#node);
    await this.#server.start();
    this.#isStarted = true;
    this.afterRound();
  }

  /** What calls have left for later. */
  get waiting(): Afterwork['waiting'] {
    return this.#afterwork.waiting;
  }

  async stop(): Promise<void> {
    await this.#server.stop();
    await this.#afterwork.stop();
    this.#attachments.flush();
  }

  /** The network is offered to the runtime when the chain is in the kernel, and from then on. */
  afterRound(): void {
    if (!this.#isStarted) return;
    try {
      const { podCIDRs, notReady, isSynced } = this.#agent.facts;
      if (isSynced) this.#known.clear();
      // Without the API server the last ones are right.
      if (podCIDRs.length > 0 && !isDeepStrictEqual(podCIDRs, this.#ranges)) {
        this.#ranges = podCIDRs;
        writeAtomically(this.#rangesPath, `${JSON.stringify(podCIDRs)}\n`);
      }
      if (notReady === undefined && this.#installation.publish())
        this.#log.info({}, 'the network configuration was written: the runtime can use the network');
    } catch (error) {
      this.#log.warn({ error: textOf(error) }, 'the network configuration was not written');
    }
  }

  #savedRanges(): string[] {
    try {
      return (readJson(this.#rangesPath) as string[] | undefined) ?? [];
    } catch (error) {
      this.#log.warn({ error: textOf(error) }, 'the ranges of the node are read anew');
      return [];
    }
  }
}
