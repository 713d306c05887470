// SPDX-License-Identifier: Apache-2.0
import { setImmediate } from 'node:timers/promises';
import { backoffMs, sleep } from './backoff.ts';
import type { Cache } from './cache.ts';
import type { KubeClient } from './client.ts';
import { isKubeError, KubeError } from './errors.ts';
import { ItemSplitter, LineSplitter } from './json-items.ts';
import { type Log, SILENT } from './log.ts';
import { Page } from './page.ts';
import { type KubeObject, keyOf, pathOf, type ResourceType } from './resource.ts';

export interface ReflectorOptions<T> {
  client: KubeClient;
  type: ResourceType;
  /** Only this namespace; all of them where absent. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  cache: Cache<T>;
  /**
   * Makes the cached value of an object; undefined keeps it out of the cache. `bytes` is the object's JSON, valid only
   * during the call: copy what must stay. When it throws, the entry before stays and the error goes to the log.
   * A value made of packed bytes of its own is what keeps ten thousand objects small; a parsed object is ten times as large.
   */
  transform: (object: KubeObject, bytes: Buffer) => T | undefined;
  /** Two values that mean the same: then the one before stays and no listener is told. */
  same?: (before: T, after: T) => boolean;
  /** The kind may be unknown to the API server: then there are none, and it is asked again now and then. */
  optional?: boolean;
  /** How often it is asked for an optional kind that it does not know, ms. Default 5 000. */
  absentMs?: number;
  /** Objects a page of a list. Default 250. */
  pageSize?: number;
  /**
   * A watch that says nothing for this long is taken for dead and opened again where it was. The API server sends a
   * bookmark a minute, so the default, 90 s, never cuts a healthy one.
   */
  idleTimeoutMs?: number;
  /** Delays after failures. Default 250 ms to 15 s. */
  backoff?: { baseMs: number; maxMs: number };
  log?: Log;
}

/** What a reflector is doing; the health endpoint and metrics read it. */
export interface ReflectorHealth {
  /** Plural of the resource. */
  type: string;
  state: 'Stopped' | 'Listing' | 'Watching' | 'Waiting' | 'Absent';
  synced: boolean;
  /** Size of the cache. */
  objects: number;
  /** Whole lists read, watches opened, events taken, since the start. */
  lists: number;
  watches: number;
  events: number;
  /** Times that a silent watch was cut. */
  silent: number;
  /** Failures since the last success. */
  failures: number;
  lastError?: string;
  /** `performance.now()` of the last byte from the API server. */
  lastHeardMs: number;
}

/** A watch is closed by the server after a random time in this range, s, as client-go asks for. */
const WATCH_SECONDS = { min: 300, max: 600 };
const LIST_IDLE_MS = 30_000;
const ITEMS_A_TURN = 32;

interface ListMetadata {
  resourceVersion?: string;
  continue?: string;
}

interface WatchEvent {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  object: KubeObject & { code?: number; message?: string };
}

/**
 * Keeps a {@link Cache} equal to a collection on the API server: lists it page by page, then watches from the list's
 * version. Whatever ends a watch, it starts again where it was; when that is not possible (410, or a server that went
 * back in time) it lists again and removes what the list no longer holds, so no deletion is lost.
 */
export class Reflector<T> {
  readonly #options: ReflectorOptions<T>;
  readonly #log: Log;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #resourceVersion: string | undefined;
  #fields: { type: string; namespace?: string };
  readonly #health: Omit<ReflectorHealth, 'type' | 'synced' | 'objects'> = {
    state: 'Stopped',
    lists: 0,
    watches: 0,
    events: 0,
    silent: 0,
    failures: 0,
    lastHeardMs: 0,
  };

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#log = options.log ?? SILENT;
    this.#fields = {
      type: options.type.plural,
      ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
    };
  }

  /** Starts; a second call does nothing. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends the watch; the cache keeps what it has. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  health(): ReflectorHealth {
    const { cache, type } = this.#options;
    return { type: type.plural, ...this.#health, synced: cache.hasSynced, objects: cache.size };
  }

  async #run(): Promise<void> {
    const signal = this.#stop.signal;
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === undefined) await this.#list();
        if (!signal.aborted) await this.#watch();
        this.#health.failures = 0;
      } catch (error) {
        if (signal.aborted) break;
        await this.#afterFailure(error);
      }
    }
    this.#health.state = 'Stopped';
  }

  /** An API server that does not know the kind has none of it: with a CRD its objects go too. */
  async #whileAbsent(): Promise<void> {
    this.#resourceVersion = undefined;
    this.#options.cache.finishList(new Set());
    this.#health.state = 'Absent';
    this.#health.failures = 0;
    this.#health.lastHeardMs = performance.now();
    await sleep(this.#options.absentMs ?? 5000, this.#stop.signal);
  }

  async #afterFailure(error: unknown): Promise<void> {
    if (this.#options.optional === true && isKubeError(error, 'NotFound')) return this.#whileAbsent();
    const message = error instanceof Error ? error.message : String(error);
    this.#health.failures++;
    this.#health.lastError = message;
    this.#health.state = 'Waiting';
    if (isKubeError(error, 'Expired')) this.#resourceVersion = undefined;
    const wished = error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0;
    const wait = Math.max(
      wished,
      backoffMs(this.#health.failures, this.#options.backoff ?? { baseMs: 250, maxMs: 15_000 }),
    );
    const fields = {
      ...this.#fields,
      failures: this.#health.failures,
      waitMs: Math.round(wait),
      error: message,
    };
    if (this.#health.failures > 1) this.#log.warn(fields, 'watch failed; trying again');
    else this.#log.debug(fields, 'watch ended; trying again');
    await sleep(wait, this.#stop.signal);
  }

  async #list(): Promise<void> {
    this.#health.state = 'Listing';
    const seen = new Set<string>();
    const limit = this.#options.pageSize ?? 250;
    let metadata: ListMetadata;
    try {
      metadata = await this.#pages(limit, seen);
    } catch (error) {
      if (seen.size === 0 || !isKubeError(error, 'Expired')) throw error;
      // The continue token outlived etcd's history. One request without a limit cannot expire, and it is streamed.
      seen.clear();
      metadata = await this.#page({}, (item) => this.#listed(item, seen));
    }
    const resourceVersion = metadata.resourceVersion ?? '';
    const removed = this.#options.cache.finishList(seen);
    this.#resourceVersion = resourceVersion;
    this.#health.lists++;
    this.#health.failures = 0;
    this.#log.debug({ ...this.#fields, objects: seen.size, removed, resourceVersion }, 'listed');
  }

  /** All pages of a list. The API server makes the next one while the items of this one are taken in. */
  async #pages(limit: number, seen: Set<string>): Promise<ListMetadata> {
    let [page, other] = [new Page(), new Page()];
    const read = (token: string, into: Page): Promise<ListMetadata> => {
      into.clear();
      return this.#page({ limit, continue: token }, (item) => into.add(item));
    };
    let metadata = await read('', page);
    for (;;) {
      const token = metadata.continue ?? '';
      const next = token === '' ? undefined : read(token, other);
      next?.catch(() => {}); // it is looked at below
      await this.#takeIn(page, seen);
      if (next === undefined) return metadata;
      metadata = await next;
      [page, other] = [other, page];
    }
  }

  async #takeIn(page: Page, seen: Set<string>): Promise<void> {
    for (let index = 0; index < page.length; index++) {
      // Between them the next page is asked for and read.
      if (index % ITEMS_A_TURN === 0) await setImmediate();
      if (this.#stop.signal.aborted) return;
      this.#listed(page.item(index), seen);
    }
  }

  #listed(item: Buffer, seen: Set<string>): void {
    const object = JSON.parse(item.toString()) as KubeObject;
    seen.add(keyOf(object.metadata));
    this.#store(object, item);
  }

  async #page(
    query: { limit?: number; continue?: string },
    onItem: (item: Buffer) => void,
  ): Promise<ListMetadata> {
    const splitter = new ItemSplitter();
    await this.#read(query, LIST_IDLE_MS, (chunk) => splitter.push(chunk, onItem));
    return splitter.finish().metadata ?? {};
  }

  async #watch(): Promise<void> {
    this.#health.state = 'Watching';
    this.#health.watches++;
    const lines = new LineSplitter();
    const seconds = WATCH_SECONDS.min + Math.random() * (WATCH_SECONDS.max - WATCH_SECONDS.min);
    const query = {
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion: this.#resourceVersion,
      timeoutSeconds: Math.round(seconds),
    };
    const openedAt = performance.now();
    await this.#read(query, this.#options.idleTimeoutMs ?? 90_000, (chunk) => {
      lines.push(chunk, (line) => this.#event(line));
    });
    // A server that closes each watch at once must not be asked without pause.
    if (performance.now() - openedAt < 1000) throw new Error('the watch was closed at once');
  }

  #event(line: Buffer): void {
    const { type, object } = JSON.parse(line.toString()) as WatchEvent;
    if (type === 'ERROR') throw watchError(object, this.#options.type);
    const version = object.metadata.resourceVersion ?? '';
    if (isOlder(version, this.#resourceVersion)) {
      throw goneBack(this.#options.type, version, this.#resourceVersion ?? '');
    }
    this.#health.failures = 0;
    if (type === 'DELETED') this.#options.cache.delete(keyOf(object.metadata));
    else if (type !== 'BOOKMARK') this.#store(object, line);
    if (type !== 'BOOKMARK') this.#health.events++;
    this.#resourceVersion = version;
  }

  #store(object: KubeObject, bytes: Buffer): void {
    const { cache, transform } = this.#options;
    const key = keyOf(object.metadata);
    const version = object.metadata.resourceVersion ?? '';
    if (cache.versionOf(key) === version) return;
    try {
      const value = transform(object, bytes);
      const before = cache.get(key);
      if (value === undefined) cache.delete(key);
      else if (before !== undefined && this.#options.same?.(before, value)) cache.touch(key, version);
      else cache.set(key, version, value);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#log.error({ ...this.#fields, key, error: message }, 'object left out: it could not be taken in');
    }
  }

  /** One GET of the collection; chunks go to the callback. Throws when nothing comes for `idleMs`. */
  async #read(
    query: Record<string, string | number | boolean | undefined>,
    idleMs: number,
    onChunk: (chunk: Buffer) => void,
  ): Promise<void> {
    const { client, type, namespace, labelSelector, fieldSelector } = this.#options;
    const { body } = await client.stream({
      path: pathOf(type, { namespace }),
      query: { ...query, labelSelector, fieldSelector },
      object: type.plural,
      timeoutMs: Math.min(idleMs, LIST_IDLE_MS),
      signal: this.#stop.signal,
    });
    const idle = setTimeout(() => {
      this.#health.silent++;
      body.destroy(new Error(`no byte for ${idleMs} ms: the connection is taken for dead`));
    }, idleMs);
    try {
      for await (const chunk of body) {
        this.#health.lastHeardMs = performance.now();
        idle.refresh();
        onChunk(chunk as Buffer);
      }
    } finally {
      clearTimeout(idle);
      body.destroy();
    }
  }
}

/** Versions are decimal numbers that grow (KEP-5504); one that is none counts as new. */
export function isOlder(version: string, than: string | undefined): boolean {
  if (than === undefined || version === than) return false;
  return version.length < than.length || (version.length === than.length && version < than);
}

function goneBack(type: ResourceType, version: string, known: string): KubeError {
  return new KubeError({
    code: 'Expired',
    status: 410,
    object: type.plural,
    message: `the API server is at version ${version}, behind ${known}: its store was restored or replaced`,
    remedy: 'the list is read again from the start',
  });
}

function watchError(object: { code?: number; message?: string }, type: ResourceType): KubeError {
  const message = object.message ?? 'the watch ended with an error';
  // A version ahead of the server's own (504) cannot be waited for: etcd was replaced by an older copy.
  const expired = object.code === 410 || /too (old|large) resource version/i.test(message);
  return new KubeError({
    code: expired ? 'Expired' : 'ServerError',
    status: object.code ?? 0,
    object: type.plural,
    message,
    remedy: expired ? 'the list is read again from the start' : 'the watch is opened again',
  });
}
