// SPDX-License-Identifier: Apache-2.0
import { request } from 'node:http';

/** The parts that every Kubernetes object has. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

/** An answer of the API server other than 2xx. */
export class ApiError extends Error {
  override name = 'ApiError';
  readonly status: number;
  /** The `reason` of the Status object: NotFound, AlreadyExists, Forbidden, … */
  readonly reason: string;

  constructor(method: string, path: string, status: number, body: string) {
    let reason = '';
    let message = body.trim();
    try {
      ({ reason = '', message = body } = JSON.parse(body) as { reason?: string; message?: string });
    } catch {
      // Not a Status object: a proxy's own text.
    }
    super(`${method} ${path}: ${status} ${message}`);
    this.status = status;
    this.reason = reason;
  }
}

const CONTENT_TYPES = {
  json: 'application/json',
  merge: 'application/merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

/**
 * The API as an administrator sees it, through `kubectl proxy` on a unix socket: a socket in the file system is reached
 * from any network namespace, so the harness needs no way into the control plane's.
 */
export class KubeApi {
  readonly #socketPath: string;
  readonly #user: string | undefined;

  constructor(socketPath: string, user?: string) {
    this.#socketPath = socketPath;
    this.#user = user;
  }

  /** The same API as another user (impersonation): what RBAC and admission refuse that user, they refuse here. */
  as(user: string): KubeApi {
    return new KubeApi(this.#socketPath, user);
  }

  /** One request; the body of the answer as text. @throws ApiError for a status other than 2xx. */
  async raw(
    method: string,
    path: string,
    body?: unknown,
    contentType: keyof typeof CONTENT_TYPES = 'json',
  ): Promise<string> {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const headers: Record<string, string> = {};
    if (payload !== undefined) {
      headers['Content-Type'] = CONTENT_TYPES[contentType];
      // Node leaves it out for DELETE, and the body would then be read as the next request.
      headers['Content-Length'] = String(Buffer.byteLength(payload));
    }
    if (this.#user !== undefined) headers['Impersonate-User'] = this.#user;
    return await new Promise<string>((resolve, reject) => {
      const call = request(
        { socketPath: this.#socketPath, method, path, headers, timeout: 10_000 },
        (answer) => {
          const chunks: Buffer[] = [];
          answer.on('data', (chunk: Buffer) => chunks.push(chunk));
          answer.once('error', reject);
          answer.once('end', () => {
            const text = Buffer.concat(chunks).toString();
            const status = answer.statusCode ?? 0;
            if (status >= 200 && status < 300) resolve(text);
            else reject(new ApiError(method, path, status, text));
          });
        },
      );
      call.once('timeout', () => call.destroy(new Error(`${method} ${path}: no answer within 10 s`)));
      call.once('error', reject);
      call.end(payload);
    });
  }

  async get<T extends object = KubeObject>(path: string): Promise<T> {
    return JSON.parse(await this.raw('GET', path)) as T;
  }

  /** Items of a collection. */
  async list<T extends object = KubeObject>(path: string): Promise<T[]> {
    return (await this.get<{ items: T[] }>(path)).items;
  }

  /** Posts to a collection or to a subresource such as `…/token`. */
  async create<T extends object = KubeObject>(path: string, body: object): Promise<T> {
    return JSON.parse(await this.raw('POST', path, body)) as T;
  }

  async mergePatch<T extends object = KubeObject>(path: string, body: object): Promise<T> {
    return JSON.parse(await this.raw('PATCH', path, body, 'merge')) as T;
  }

  /** Server-side apply as field manager `cubeplane-harness`, taking over fields of others. */
  async apply<T extends object = KubeObject>(path: string, body: object): Promise<T> {
    const query = '?fieldManager=cubeplane-harness&force=true';
    return JSON.parse(await this.raw('PATCH', `${path}${query}`, body, 'apply')) as T;
  }

  /** Deletes; `graceSeconds` is what a pod gets. Nothing happens when it is gone already. */
  async delete(path: string, graceSeconds?: number): Promise<void> {
    const options = graceSeconds === undefined ? undefined : { gracePeriodSeconds: graceSeconds };
    await this.raw('DELETE', path, options).catch((failure) => {
      if (!(failure instanceof ApiError) || failure.status !== 404) throw failure;
    });
  }
}
