// SPDX-License-Identifier: Apache-2.0
import { backoffMs, sleep } from './backoff.ts';
import type { KubeClient } from './client.ts';
import { isKubeError } from './errors.ts';
import { type Log, SILENT } from './log.ts';
import { type KubeObject, LEASES } from './resource.ts';

export interface LeaderElectionOptions {
  client: KubeClient;
  namespace: string;
  /** Name of the Lease. */
  name: string;
  /** This process; unique, for example `host_uuid`. */
  identity: string;
  /** A leader that renewed nothing for this long is taken for gone, ms. Default 15 000. */
  leaseMs?: number;
  /** The leader gives up when it could not renew for this long, ms; less than `leaseMs`. Default 10 000. */
  renewDeadlineMs?: number;
  /** Time between tries, ms. Default 2 000. */
  retryMs?: number;
  log?: Log;
}

interface LeaseSpec {
  holderIdentity?: string | null;
  leaseDurationSeconds?: number;
  acquireTime?: string | null;
  renewTime?: string | null;
  leaseTransitions?: number;
}

/** What became of {@link runAsLeader}. */
export type LeadershipEnd = 'Stopped' | 'Lost';

/**
 * Waits until this process holds the Lease, runs `lead`, renews meanwhile, and gives the Lease back at the end.
 *
 * `lead` gets a signal that aborts when leadership is lost or `signal` aborts; it must return soon after. As in
 * client-go, other holders' clocks are not trusted: a Lease is expired when *this* process has seen no change of it
 * for its duration. Throws what `lead` throws, after giving the Lease back.
 */
export async function runAsLeader(
  options: LeaderElectionOptions,
  signal: AbortSignal,
  lead: (signal: AbortSignal) => Promise<void>,
): Promise<LeadershipEnd> {
  const election = new Election(options);
  if (!(await election.acquire(signal))) return 'Stopped';
  const lost = new AbortController();
  const inside = AbortSignal.any([signal, lost.signal]);
  const renewing = election.renewUntil(inside).then(() => {
    if (!signal.aborted) lost.abort(new Error('leadership was lost'));
  });
  try {
    await lead(inside);
  } finally {
    lost.abort();
    await renewing;
    // Given back only after `lead` has returned: nobody else may write before.
    await election.release();
  }
  return signal.aborted ? 'Stopped' : 'Lost';
}

class Election {
  readonly #options: Required<Omit<LeaderElectionOptions, 'log'>>;
  readonly #log: Log;
  /** Last Lease seen, and when (monotonic). */
  #seen: { version: string; atMs: number } | undefined;
  #held: KubeObject | undefined;

  constructor(options: LeaderElectionOptions) {
    this.#log = options.log ?? SILENT;
    this.#options = { leaseMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000, ...options };
  }

  /** True once the Lease is held; false when the signal came first. */
  async acquire(signal: AbortSignal): Promise<boolean> {
    const { namespace, name, identity, retryMs } = this.#options;
    this.#log.info({ lease: `${namespace}/${name}`, identity }, 'waiting for leadership');
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (await this.#tryAcquire(signal)) {
          this.#log.info({ lease: `${namespace}/${name}`, identity }, 'leading');
          return true;
        }
        failures = 0;
      } catch (error) {
        failures++;
        if (!signal.aborted && failures > 1) {
          this.#log.warn({ lease: `${namespace}/${name}`, error: String(error) }, 'the Lease cannot be had');
        }
      }
      await sleep(backoffMs(1, { baseMs: retryMs, maxMs: retryMs }), signal);
    }
    return false;
  }

  /** Returns when renewing failed for the deadline, when another took the Lease, or at the signal. */
  async renewUntil(signal: AbortSignal): Promise<void> {
    const { retryMs, renewDeadlineMs, namespace, name } = this.#options;
    let renewedAt = performance.now();
    while (!signal.aborted) {
      await sleep(retryMs, signal);
      if (signal.aborted) return;
      const left = renewedAt + renewDeadlineMs - performance.now();
      try {
        await this.#renew(AbortSignal.any([signal, AbortSignal.timeout(Math.max(1, left))]));
        renewedAt = performance.now();
      } catch (error) {
        if (signal.aborted) return;
        const taken = isKubeError(error, 'Conflict', 'NotFound');
        if (taken || performance.now() - renewedAt >= renewDeadlineMs) {
          const why = taken ? 'another process changed the Lease' : 'it could not be renewed in time';
          this.#log.error({ lease: `${namespace}/${name}`, error: String(error) }, `leadership lost: ${why}`);
          this.#held = undefined;
          return;
        }
      }
    }
  }

  /** Lets the next process in at once. Failures do not matter: the Lease runs out by itself. */
  async release(): Promise<void> {
    if (this.#held === undefined) return;
    const spec = this.#held.spec as LeaseSpec;
    try {
      await this.#options.client.replace(LEASES, {
        ...this.#held,
        spec: { ...spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: now() },
      });
    } catch (error) {
      this.#log.debug({ error: String(error) }, 'the Lease was not given back; it runs out by itself');
    }
    this.#held = undefined;
  }

  async #tryAcquire(signal: AbortSignal): Promise<boolean> {
    const { client, namespace, name, identity, leaseMs } = this.#options;
    const found = await client.get(LEASES, { namespace, name });
    if (signal.aborted) return false;
    const spec = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(leaseMs / 1000),
      renewTime: now(),
    };
    if (found === undefined) {
      this.#held = await client.create(LEASES, {
        metadata: { namespace, name },
        spec: { ...spec, acquireTime: now(), leaseTransitions: 0 },
      });
      return true;
    }
    const version = found.metadata.resourceVersion ?? '';
    if (this.#seen?.version !== version) this.#seen = { version, atMs: performance.now() };
    const held = found.spec as LeaseSpec | undefined;
    const holder = held?.holderIdentity ?? '';
    const lifeMs = (held?.leaseDurationSeconds ?? 0) * 1000;
    const free = holder === '' || holder === identity || performance.now() - this.#seen.atMs >= lifeMs;
    if (!free) return false;
    // A new holder counts as a transition; the PUT carries the version read, so only one of several wins.
    this.#held = await client.replace(LEASES, {
      ...found,
      spec: { ...spec, acquireTime: now(), leaseTransitions: (held?.leaseTransitions ?? 0) + 1 },
    });
    return true;
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const { client, namespace, name } = this.#options;
    if (this.#held === undefined) throw new Error('the Lease is not held');
    this.#held = await client.request<KubeObject>({
      method: 'PUT',
      path: `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${name}`,
      body: { ...this.#held, spec: { ...(this.#held.spec as LeaseSpec), renewTime: now() } },
      object: `Lease ${namespace}/${name}`,
      signal,
    });
  }
}

/** Lease times have microseconds (metav1.MicroTime). */
function now(): string {
  return new Date().toISOString().replace('Z', '000Z');
}
