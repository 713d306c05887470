// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { Agent, type Dispatcher, ProxyAgent, WebSocket } from 'undici';
import { errorOfCause, errorOfStatus, isKubeError, KubeError } from './errors.ts';
import { type Connection, type KubeconfigOptions, loadConnection, type TlsMaterial } from './kubeconfig.ts';
import { apiVersionOf, describe, type KubeObject, pathOf, type ResourceType } from './resource.ts';

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface RequestOptions {
  method?: Method;
  path: string;
  query?: Record<string, string | number | boolean | undefined>;
  /** A string is sent as it is; anything else as JSON. */
  body?: unknown;
  contentType?: string;
  /** What error messages call the target; the path where absent. */
  object?: string;
  /** ms for the whole request, body included. Default 30 000. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** One object addressed by type, namespace and name. */
export interface ObjectAt {
  namespace?: string | undefined;
  name: string;
}

/** A byte stream of an answer; the caller reads it to the end or destroys it. */
export interface ByteStream {
  body: Readable;
}

/** Server-side apply's media type; JSON is valid YAML. */
export const APPLY_PATCH = 'application/apply-patch+yaml';
const MERGE_PATCH = 'application/merge-patch+json';

const REQUEST_TIMEOUT_MS = 30_000;
const CONNECT_TIMEOUT_MS = 5_000;
const KEEP_ALIVE_MS = 30_000;
/** How often certificates are read again, as client-go does for token files. */
const TLS_LIFE_MS = 60_000;

/**
 * A thin HTTP client for one API server: JSON in and out, no model classes, one dispatcher of its own. HTTP/1.1
 * only: each watch has its own connection, so a slow one never holds back another, and an end of one is seen at once.
 */
export class KubeClient {
  readonly server: string;
  readonly namespace: string;
  readonly #connection: Connection;
  #dispatcher: Dispatcher | undefined;
  #tlsDigest = '';
  #tlsReadAt = Number.NEGATIVE_INFINITY;
  #retired: Dispatcher[] = [];

  constructor(connection: Connection) {
    this.#connection = connection;
    this.server = connection.server;
    this.namespace = connection.namespace;
  }

  /** One JSON request. Throws {@link KubeError} for every answer of 400 and above and for no answer. */
  async request<T = KubeObject>(options: RequestOptions): Promise<T> {
    const verb = options.method ?? 'GET';
    const at = { object: options.object ?? options.path, verb: verbOf(verb) };
    const timeout = AbortSignal.timeout(options.timeoutMs ?? REQUEST_TIMEOUT_MS);
    const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
    try {
      const response = await this.#send(options, signal);
      const text = await response.body.text();
      if (response.statusCode >= 400) {
        if (response.statusCode === 401) this.#tlsReadAt = Number.NEGATIVE_INFINITY;
        const retryAfter = response.headers['retry-after'];
        throw errorOfStatus(response.statusCode, text, {
          ...at,
          retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
        });
      }
      return (text === '' ? undefined : JSON.parse(text)) as T;
    } catch (error) {
      if (error instanceof KubeError) throw error;
      const aborted = options.signal?.aborted === true;
      throw errorOfCause(error, { ...at, server: this.server, aborted });
    }
  }

  /**
   * Starts a request whose answer is read as it comes. The time limit covers only the head of the answer; the caller
   * watches over the body. Throws {@link KubeError} for an answer of 400 and above.
   */
  async stream(options: RequestOptions): Promise<ByteStream> {
    const verb = verbOf(options.method ?? 'GET');
    const at = { object: options.object ?? options.path, verb };
    const head = new AbortController();
    const timer = setTimeout(
      () => head.abort(new Error('timeout waiting for the head of the answer')),
      options.timeoutMs ?? REQUEST_TIMEOUT_MS,
    );
    const signal =
      options.signal === undefined ? head.signal : AbortSignal.any([head.signal, options.signal]);
    try {
      const response = await this.#send(options, signal);
      if (response.statusCode >= 400) {
        const text = await response.body.text();
        throw errorOfStatus(response.statusCode, text, at);
      }
      return { body: response.body };
    } catch (error) {
      if (error instanceof KubeError) throw error;
      throw errorOfCause(error, { ...at, server: this.server, aborted: options.signal?.aborted === true });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Opens a WebSocket, as `exec` and the like need one. `query` may name a parameter several times. */
  async openWebSocket(path: string, query: URLSearchParams, protocol: string): Promise<WebSocket> {
    const url = new URL(this.server.replace(/^http/, 'ws'));
    url.pathname = `${url.pathname.replace(/\/+$/, '')}${path}`;
    url.search = query.toString();
    const dispatcher = await this.#freshDispatcher();
    const headers = await this.#connection.headers();
    return new WebSocket(url, { protocols: [protocol], dispatcher, headers });
  }

  /** Reads one object; undefined when it is not there. */
  async get<T extends KubeObject = KubeObject>(type: ResourceType, at: ObjectAt): Promise<T | undefined> {
    try {
      return await this.request<T>({ path: pathOf(type, at), object: describe(type, at) });
    } catch (error) {
      if (isKubeError(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  /** Creates an object. `apiVersion` and `kind` are filled in from the type. */
  async create<T extends KubeObject = KubeObject>(type: ResourceType, object: KubeObject): Promise<T> {
    return this.request<T>({
      method: 'POST',
      path: pathOf(type, { namespace: object.metadata.namespace }),
      body: { apiVersion: apiVersionOf(type), kind: type.kind, ...object },
      object: describe(type, object.metadata),
    });
  }

  /** Replaces an object; with `metadata.resourceVersion` only if nobody was faster (else Conflict). */
  async replace<T extends KubeObject = KubeObject>(
    type: ResourceType,
    object: KubeObject,
    subresource?: string,
  ): Promise<T> {
    const { namespace, name = '' } = object.metadata;
    return this.request<T>({
      method: 'PUT',
      path: pathOf(type, { namespace, name, ...(subresource === undefined ? {} : { subresource }) }),
      body: { apiVersion: apiVersionOf(type), kind: type.kind, ...object },
      object: describe(type, object.metadata),
    });
  }

  /** JSON merge patch (RFC 7396). */
  async mergePatch<T extends KubeObject = KubeObject>(
    type: ResourceType,
    at: ObjectAt,
    patch: unknown,
    subresource?: string,
  ): Promise<T> {
    return this.request<T>({
      method: 'PATCH',
      path: pathOf(type, { ...at, ...(subresource === undefined ? {} : { subresource }) }),
      body: patch,
      contentType: MERGE_PATCH,
      object: describe(type, at),
    });
  }

  /** Deletes an object; false when it was not there. With `uid`, only that very object. */
  async delete(type: ResourceType, at: ObjectAt, preconditions: { uid?: string } = {}): Promise<boolean> {
    try {
      await this.request({
        method: 'DELETE',
        path: pathOf(type, at),
        body: {
          apiVersion: 'v1',
          kind: 'DeleteOptions',
          propagationPolicy: 'Background',
          ...(preconditions.uid === undefined ? {} : { preconditions: { uid: preconditions.uid } }),
        },
        object: describe(type, at),
      });
      return true;
    } catch (error) {
      if (isKubeError(error, 'NotFound')) return false;
      throw error;
    }
  }

  /** One page after another of a collection, as plain objects; for commands, not for controllers. */
  async *list<T extends KubeObject = KubeObject>(
    type: ResourceType,
    options: { namespace?: string; labelSelector?: string; fieldSelector?: string; pageSize?: number } = {},
  ): AsyncGenerator<T> {
    let token: string | undefined;
    do {
      const page: { metadata: { continue?: string }; items: T[] } = await this.request({
        path: pathOf(type, options.namespace === undefined ? {} : { namespace: options.namespace }),
        query: {
          limit: options.pageSize ?? 500,
          continue: token,
          labelSelector: options.labelSelector,
          fieldSelector: options.fieldSelector,
        },
        object: type.plural,
      });
      yield* page.items;
      token = page.metadata.continue;
    } while (token !== undefined && token !== '');
  }

  /** A collection as a whole; for commands, not for controllers. */
  async listAll<T extends KubeObject = KubeObject>(
    type: ResourceType,
    options: Parameters<KubeClient['list']>[1] = {},
  ): Promise<T[]> {
    const objects: T[] = [];
    for await (const object of this.list<T>(type, options)) objects.push(object);
    return objects;
  }

  /** Closes every connection, running watches included. */
  async close(): Promise<void> {
    const all = [...this.#retired, this.#dispatcher];
    this.#retired = [];
    this.#dispatcher = undefined;
    await Promise.all(all.map((dispatcher) => dispatcher?.destroy()));
  }

  async #send(options: RequestOptions, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const dispatcher = await this.#freshDispatcher();
    const headers: Record<string, string> = {
      accept: 'application/json',
      'user-agent': 'cubeplane',
      ...(await this.#connection.headers()),
    };
    let body: string | null = null;
    if (options.body !== undefined) {
      body = typeof options.body === 'string' ? options.body : JSON.stringify(options.body);
      headers['content-type'] = options.contentType ?? 'application/json';
    }
    const base = new URL(this.server);
    const path = `${base.pathname.replace(/\/+$/, '')}${options.path}${queryString(options.query)}`;
    return dispatcher.request({
      origin: base.origin,
      path,
      method: options.method ?? 'GET',
      headers,
      body,
      signal,
      // The signal bounds the head; a watch's body may be silent for as long as its reader allows.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  async #freshDispatcher(): Promise<Dispatcher> {
    const now = performance.now();
    if (this.#dispatcher !== undefined && now - this.#tlsReadAt < TLS_LIFE_MS) return this.#dispatcher;
    const tls = await this.#connection.tls();
    this.#tlsReadAt = now;
    const digest = digestOf(tls);
    if (this.#dispatcher !== undefined && digest === this.#tlsDigest) return this.#dispatcher;
    const old = this.#dispatcher;
    this.#dispatcher = dispatcherOf(tls, this.#connection);
    this.#tlsDigest = digest;
    if (old !== undefined) {
      // Running watches end by themselves; new requests use the new certificate.
      this.#retired.push(old);
      old
        .close()
        .catch(() => undefined)
        .finally(() => {
          this.#retired = this.#retired.filter((entry) => entry !== old);
        });
    }
    return this.#dispatcher;
  }
}

/** Loads a kubeconfig (or the pod's service account) and makes a client of it. */
export async function connect(options: KubeconfigOptions = {}): Promise<KubeClient> {
  return new KubeClient(await loadConnection(options));
}

function dispatcherOf(tls: TlsMaterial, { proxyUrl, socketPath }: Connection): Dispatcher {
  const common = { allowH2: false, keepAliveTimeout: KEEP_ALIVE_MS, keepAliveMaxTimeout: KEEP_ALIVE_MS };
  const connectOptions = {
    ...tls,
    timeout: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelay: 15_000,
  };
  if (socketPath !== undefined) return new Agent({ ...common, connect: { ...connectOptions, socketPath } });
  if (proxyUrl !== undefined) return new ProxyAgent({ uri: proxyUrl, requestTls: tls, ...common });
  return new Agent({ ...common, connect: connectOptions });
}

function digestOf(tls: TlsMaterial): string {
  const hash = createHash('sha256');
  for (const part of [tls.ca, tls.cert, tls.key]) hash.update(part ?? '-').update('\0');
  return hash.update(`${tls.servername ?? ''} ${tls.rejectUnauthorized ?? ''}`).digest('hex');
}

function queryString(query: RequestOptions['query']): string {
  const parts = Object.entries(query ?? {})
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`);
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

/** RBAC's name for a method, for messages; `list` and `watch` are both GET. */
function verbOf(method: Method): string {
  return { GET: 'get', POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }[method];
}
