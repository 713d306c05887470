// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from 'node:crypto';
import type { KubeClient } from './client.ts';
import { isKubeError } from './errors.ts';
import { type Log, SILENT } from './log.ts';
import { apiVersionOf, type KubeObject, type ResourceType, EVENTS as TYPE } from './resource.ts';

export interface EventInput {
  type: 'Normal' | 'Warning';
  /** Why, PascalCase, as in conditions. */
  reason: string;
  /** What was done or tried, PascalCase, for example `Stamp`. */
  action: string;
  /** For people; cut at 1024 bytes, the API server's limit. */
  note: string;
}

export interface EventTarget {
  type: ResourceType;
  metadata: { namespace?: string; name?: string; uid?: string; resourceVersion?: string };
}

export interface EventRecorderOptions {
  client: KubeClient;
  /** For example `cubeplane.io/operator`. */
  controller: string;
  /** This process, for example the pod's name. */
  instance: string;
  /** Events of an object that may be made in a burst, and how often one more may follow, ms. Default 25 and 300 000. */
  burst?: number;
  refillMs?: number;
  /** Shortest time between two updates of one series, ms. Default 10 000. */
  seriesMs?: number;
  log?: Log;
}

interface Series {
  name: string;
  namespace: string;
  count: number;
  sentAtMs: number;
  timer: NodeJS.Timeout | undefined;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

/** Series and buckets that are remembered; the oldest are dropped. */
const REMEMBERED = 4096;
const NOTE_LIMIT = 1024;
/** A series that said nothing for this long begins anew, as in client-go. */
const SERIES_LIFE_MS = 6 * 60_000;

/**
 * Writes events (events.k8s.io/v1). The same thing said again about the same object becomes a count on the event that
 * is there, and an object can only make so many events in a time; events are help for people, so failures to write
 * them are logged and nothing waits for them.
 */
export class EventRecorder {
  readonly #options: Required<Omit<EventRecorderOptions, 'log'>>;
  readonly #log: Log;
  readonly #series = new Map<string, Series>();
  readonly #buckets = new Map<string, Bucket>();
  #pending = new Set<Promise<void>>();
  /** Events left out by the limit, since the start. */
  dropped = 0;

  constructor(options: EventRecorderOptions) {
    this.#log = options.log ?? SILENT;
    this.#options = { burst: 25, refillMs: 300_000, seriesMs: 10_000, ...options };
  }

  /** Says something about an object; returns at once. */
  record(target: EventTarget, input: EventInput): void {
    const key = [
      target.type.plural,
      target.metadata.uid ?? target.metadata.name,
      ...Object.values(input),
    ].join('\0');
    const now = performance.now();
    const known = this.#series.get(key);
    if (known !== undefined && now - known.sentAtMs < SERIES_LIFE_MS) {
      known.count++;
      this.#scheduleUpdate(known, now);
      return;
    }
    if (!this.#take(`${target.type.plural}/${target.metadata.uid ?? target.metadata.name}`, now)) {
      this.dropped++;
      return;
    }
    const series: Series = {
      // The API server wants unique names; the object's name first makes `kubectl get events` readable.
      name: `${(target.metadata.name ?? 'x').slice(0, 230)}.${randomBytes(8).toString('hex')}`,
      namespace: target.metadata.namespace ?? 'default',
      count: 1,
      sentAtMs: now,
      timer: undefined,
    };
    remember(this.#series, key, series);
    this.#spawn(this.#create(series, target, input));
  }

  /** Sends what series still owe and waits for it. */
  async flush(): Promise<void> {
    for (const series of this.#series.values()) {
      if (series.timer === undefined) continue;
      clearTimeout(series.timer);
      series.timer = undefined;
      this.#spawn(this.#update(series));
    }
    await Promise.all(this.#pending);
  }

  #spawn(work: Promise<void>): void {
    const settled = work.catch((error) => {
      this.#log.debug({ error: String(error) }, 'an event was not written');
    });
    this.#pending.add(settled);
    void settled.finally(() => this.#pending.delete(settled));
  }

  #scheduleUpdate(series: Series, now: number): void {
    if (series.timer !== undefined) return;
    const wait = Math.max(0, series.sentAtMs + this.#options.seriesMs - now);
    series.timer = setTimeout(() => {
      series.timer = undefined;
      this.#spawn(this.#update(series));
    }, wait);
    series.timer.unref();
  }

  async #create(series: Series, target: EventTarget, input: EventInput): Promise<void> {
    const { client, controller, instance } = this.#options;
    const { type, metadata } = target;
    await client.create(TYPE, {
      metadata: { namespace: series.namespace, name: series.name },
      eventTime: microNow(),
      reportingController: controller,
      reportingInstance: instance.slice(0, 128),
      action: input.action,
      reason: input.reason,
      type: input.type,
      note: cut(input.note),
      regarding: {
        apiVersion: apiVersionOf(type),
        kind: type.kind,
        ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
        name: metadata.name,
        ...(metadata.uid === undefined ? {} : { uid: metadata.uid }),
      },
    });
  }

  async #update(series: Series): Promise<void> {
    series.sentAtMs = performance.now();
    const at = { namespace: series.namespace, name: series.name };
    const patch = { series: { count: series.count, lastObservedTime: microNow() } };
    try {
      await this.#options.client.mergePatch<KubeObject>(TYPE, at, patch);
    } catch (error) {
      // The API server removes events after an hour; the next one begins a new series.
      if (!isKubeError(error, 'NotFound')) throw error;
      series.sentAtMs = Number.NEGATIVE_INFINITY;
    }
  }

  #take(key: string, now: number): boolean {
    const { burst, refillMs } = this.#options;
    const bucket = this.#buckets.get(key) ?? { tokens: burst, atMs: now };
    bucket.tokens = Math.min(burst, bucket.tokens + (now - bucket.atMs) / refillMs);
    bucket.atMs = now;
    remember(this.#buckets, key, bucket);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
}

/** Stores under a key as the newest; the oldest goes when there are too many. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= REMEMBERED) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}

function cut(note: string): string {
  const bytes = Buffer.from(note);
  if (bytes.length <= NOTE_LIMIT) return note;
  return `${bytes
    .subarray(0, NOTE_LIMIT - 4)
    .toString()
    .replace(/�+$/, '')}…`;
}

function microNow(): string {
  return new Date().toISOString().replace('Z', '000Z');
}
