// SPDX-License-Identifier: Apache-2.0
/** From a call to its answer. */
import { deleteDevice } from '../kernel/pod-veth.ts';
import { add } from './add.ts';
import { deviceOf } from './attachment.ts';
import { check } from './check.ts';
import { toCniError } from './cni-error.ts';
import type { CniNode } from './cni-node.ts';
import { attachmentKey, parseConfiguration } from './configuration.ts';
import { commandOf, type Target, targetOf } from './environment.ts';
import { collectGarbage } from './gc.ts';
import { status } from './status.ts';
import { Steps } from './steps.ts';
import { letGo } from './teardown.ts';
import { Turns } from './turns.ts';
import { type CniVersion, isSupported, NEWEST_VERSION } from './versions.ts';
import type { CniAnswer, CniCall } from './wire.ts';

export class CniService {
  readonly #node: CniNode;
  readonly #turns = new Turns();

  constructor(node: CniNode) {
    this.#node = node;
  }

  /**
   * Never throws.
   *
   * @param isHeard whether the runtime still waits.
   */
  async answer(call: CniCall, isHeard: () => Promise<boolean>): Promise<CniAnswer> {
    const startedAt = performance.now();
    const { command, containerId, ifname } = call;
    const steps = new Steps();
    const ms = () => Math.round(performance.now() - startedAt);
    const about = () => ({ command, containerId, ifname, ms: ms(), steps: steps.took });
    try {
      const body = await this.#node.afterwork.before(() => this.#do(call, isHeard, steps));
      this.#node.log.info(about(), `CNI ${command}`);
      return { status: 0, body };
    } catch (error) {
      const { code, message, remedy } = toCniError(error);
      this.#node.log.warn({ ...about(), code }, `CNI ${command}: ${message}; ${remedy}`);
      const body = { cniVersion: versionOf(call.config), code, msg: message, details: remedy };
      return { status: 1, body };
    }
  }

  /** Settles when what has come so far is done. */
  async idle(): Promise<void> {
    await this.#turns.idle();
  }

  async #do(call: CniCall, isHeard: () => Promise<boolean>, steps: Steps): Promise<object | undefined> {
    const command = commandOf(call);
    const configuration = parseConfiguration(command, call.config);
    if (command === 'GC') {
      await this.#turns.alone(() => collectGarbage(this.#node, configuration));
      return undefined;
    }
    if (command === 'STATUS') {
      status(this.#node, configuration);
      return undefined;
    }
    const target = targetOf(command, call);
    const key = attachmentKey(target.containerId, target.ifname);
    return await this.#turns.ofKey(key, async () => {
      if (command === 'ADD') return await add(this.#node, { configuration, target, isHeard, steps });
      if (command === 'DEL') await this.#delete(target, steps);
      else await check(this.#node, configuration, target);
      return undefined;
    });
  }

  /** Whatever is there goes; nothing there is fine. */
  async #delete({ containerId, ifname }: Target, steps: Steps): Promise<void> {
    const key = attachmentKey(containerId, ifname);
    const attachment = this.#node.attachments.get(key);
    if (attachment !== undefined) await letGo(this.#node, attachment, steps);
    else await deleteDevice(deviceOf(key));
  }
}

/** The version that an error is told in. */
function versionOf(config: string): CniVersion {
  try {
    const { cniVersion } = JSON.parse(config) as { cniVersion?: unknown };
    return isSupported(cniVersion) ? cniVersion : NEWEST_VERSION;
  } catch {
    return NEWEST_VERSION;
  }
}
