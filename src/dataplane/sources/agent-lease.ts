// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto';
import type { KubeClient } from '../../k8s/client.ts';
import { isKubeError } from '../../k8s/errors.ts';
import type { Log } from '../../k8s/log.ts';
import { type KubeObject, LEASES } from '../../k8s/resource.ts';

export interface AgentLeaseOptions {
  readonly client: KubeClient;
  readonly node: string;
  readonly namespace: string;
  readonly log: Log;
  /** Time between renewals, ms. Default 10 000. */
  readonly renewMs?: number;
}

/** After this long without a renewal the operator calls the agent unreachable. */
const LEASE_SECONDS = 40;

/** Renews `cubeplane-agent-NODE`, by which the operator sees that this agent lives. */
export class AgentLease {
  readonly #options: AgentLeaseOptions;
  readonly #identity: string;
  readonly #name: string;
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> = Promise.resolve();
  /** Why the last renewal failed; undefined while all is well. */
  problem: string | undefined;

  constructor(options: AgentLeaseOptions) {
    this.#options = options;
    this.#name = `cubeplane-agent-${options.node}`;
    this.#identity = `${options.node}_${randomUUID()}`;
  }

  start(): void {
    const renew = () => {
      this.#working = this.#renew();
    };
    renew();
    this.#timer = setInterval(renew, this.#options.renewMs ?? 10_000);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#working;
  }

  async #renew(): Promise<void> {
    const { client, namespace, log } = this.#options;
    try {
      const lease = await client.get(LEASES, { namespace, name: this.#name });
      const spec = {
        ...(lease?.spec as object | undefined),
        holderIdentity: this.#identity,
        leaseDurationSeconds: LEASE_SECONDS,
        // MicroTime: six digits of a second.
        renewTime: `${new Date().toISOString().slice(0, -1)}000Z`,
      };
      const metadata: KubeObject['metadata'] = lease?.metadata ?? { namespace, name: this.#name };
      if (lease === undefined) await client.create(LEASES, { metadata, spec });
      else await client.replace(LEASES, { ...lease, spec });
      this.problem = undefined;
    } catch (error) {
      // Another write of the same moment: the next renewal takes it over.
      if (isKubeError(error, 'Conflict', 'AlreadyExists')) return;
      this.problem = error instanceof Error ? error.message : String(error);
      log.warn({ lease: `${namespace}/${this.#name}`, error: this.problem }, 'the Lease was not renewed');
    }
  }
}
