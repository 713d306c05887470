// SPDX-License-Identifier: Apache-2.0

/** Why a request failed, as far as a caller can act on it. */
export type KubeErrorCode =
  | 'BadRequest' // 400
  | 'Unauthorized' // 401
  | 'Forbidden' // 403
  | 'NotFound' // 404
  | 'AlreadyExists' // 409, reason AlreadyExists
  | 'Conflict' // 409: another writer was first, or another manager owns a field
  | 'Expired' // 410: the resourceVersion or continue token is too old
  | 'TooLarge' // 413: above the API server's request limit
  | 'Invalid' // 422: schema, CEL or admission said no
  | 'TooManyRequests' // 429
  | 'ServerError' // 5xx
  | 'Unreachable' // no answer: refused, reset, TLS, name lookup
  | 'Timeout' // no answer in time
  | 'Aborted'; // the caller's signal

/** A field that the API server named in a refusal. */
export interface FieldCause {
  field: string;
  message: string;
}

/** The Kubernetes `Status` object that carries an error (meta/v1). */
interface StatusBody {
  kind?: string;
  message?: string;
  reason?: string;
  code?: number;
  details?: {
    name?: string;
    kind?: string;
    retryAfterSeconds?: number;
    causes?: { reason?: string; message?: string; field?: string }[];
  };
}

/** Every failure of a request to the API server: which object, which field, and what to do. */
export class KubeError extends Error {
  readonly code: KubeErrorCode;
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** `Kind namespace/name`, or the request's path. */
  readonly object: string;
  readonly fields: readonly FieldCause[];
  readonly remedy: string;
  /** The server's wish, in ms; undefined when it had none. */
  readonly retryAfterMs: number | undefined;

  constructor(init: {
    code: KubeErrorCode;
    status: number;
    object: string;
    message: string;
    fields?: readonly FieldCause[];
    remedy: string;
    retryAfterMs?: number | undefined;
    cause?: unknown;
  }) {
    super(`${init.object}: ${init.message} (${init.remedy})`, { cause: init.cause });
    this.name = 'KubeError';
    this.code = init.code;
    this.status = init.status;
    this.object = init.object;
    this.fields = init.fields ?? [];
    this.remedy = init.remedy;
    this.retryAfterMs = init.retryAfterMs;
  }

  /** True where the same request may succeed later without anybody changing the object or the rights. */
  get retriable(): boolean {
    return RETRIABLE.has(this.code);
  }
}

const RETRIABLE: ReadonlySet<KubeErrorCode> = new Set([
  'Conflict',
  'Expired',
  'TooManyRequests',
  'ServerError',
  'Unreachable',
  'Timeout',
  'Unauthorized', // a rotated token is read again for the next try
]);

/** True for a {@link KubeError} with one of the codes. */
export function isKubeError(error: unknown, ...codes: KubeErrorCode[]): error is KubeError {
  return error instanceof KubeError && (codes.length === 0 || codes.includes(error.code));
}

/** Turns an HTTP answer of 400 and above into an error. `retryAfter` is that header's value, in seconds. */
export function errorOfStatus(
  status: number,
  body: string,
  at: { object: string; verb: string; retryAfter?: string | undefined },
): KubeError {
  const parsed = parseStatus(body);
  const code = codeOf(status, parsed?.reason);
  const fields = (parsed?.details?.causes ?? [])
    .filter((cause) => cause.field !== undefined && cause.field !== '' && cause.field !== '<nil>')
    .map((cause) => ({ field: cause.field ?? '', message: cause.message ?? '' }));
  const said = parsed?.message ?? body.trim().slice(0, 300);
  const message = `${at.verb} answered ${status}${said === '' ? '' : `: ${said}`}`;
  const seconds = Number(at.retryAfter ?? parsed?.details?.retryAfterSeconds ?? Number.NaN);
  return new KubeError({
    code,
    status,
    object: at.object,
    message,
    fields,
    remedy: remedyOf(code, at, fields),
    retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : undefined,
  });
}

/** Turns a failure without an HTTP answer into an error. */
export function errorOfCause(
  cause: unknown,
  at: { object: string; verb: string; server: string; aborted: boolean },
): KubeError {
  const text = cause instanceof Error ? cause.message : String(cause);
  const errno = (cause as { code?: string } | null)?.code ?? '';
  if (at.aborted) {
    return new KubeError({
      code: 'Aborted',
      status: 0,
      object: at.object,
      message: `${at.verb} was stopped by the caller`,
      remedy: 'nothing to do',
      cause,
    });
  }
  const timeout = /timeout/i.test(errno) || /timed? ?out/i.test(text);
  const remedy = /CERT|SELF_SIGNED|ALTNAME|UNABLE_TO_VERIFY/.test(errno)
    ? 'the certificate does not match: check certificate-authority and tls-server-name in the kubeconfig'
    : `check that ${at.server} runs and can be reached from here; the request is tried again`;
  return new KubeError({
    code: timeout ? 'Timeout' : 'Unreachable',
    status: 0,
    object: at.object,
    message: `${at.verb} got no answer: ${errno === '' ? '' : `${errno} `}${text}`,
    remedy,
    cause,
  });
}

function parseStatus(body: string): StatusBody | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? (value as StatusBody) : undefined;
  } catch {
    return undefined;
  }
}

function codeOf(status: number, reason: string | undefined): KubeErrorCode {
  switch (status) {
    case 401:
      return 'Unauthorized';
    case 403:
      return 'Forbidden';
    case 404:
      return 'NotFound';
    case 409:
      return reason === 'AlreadyExists' ? 'AlreadyExists' : 'Conflict';
    case 410:
      return 'Expired';
    case 413:
      return 'TooLarge';
    case 422:
      return 'Invalid';
    case 429:
      return 'TooManyRequests';
    case 504:
      return 'Timeout';
    default:
      return status >= 500 ? 'ServerError' : 'BadRequest';
  }
}

function remedyOf(code: KubeErrorCode, at: { verb: string }, fields: readonly FieldCause[]): string {
  const named = fields.map((cause) => cause.field).join(', ');
  switch (code) {
    case 'Unauthorized':
      return 'the credentials are not valid: renew the token or certificate in the kubeconfig';
    case 'Forbidden':
      return `grant this account the verb in RBAC: kubectl auth can-i ${at.verb}; config/rbac holds the roles`;
    case 'NotFound':
      return 'create the object first, or install the CRDs: kubectl apply -k config/crd';
    case 'Conflict':
      return named === ''
        ? 'another writer was first; the request is tried again with what is there now'
        : `another field manager owns ${named}: take it over with force, or leave the field out`;
    case 'AlreadyExists':
      return 'use the object that is there, or choose another name';
    case 'Expired':
      return 'the list is read again from the start';
    case 'TooLarge':
      return 'split the object: rows beyond the limit belong in more CubeTables';
    case 'Invalid':
      return named === '' ? 'correct the object as the message says' : `correct ${named}`;
    case 'TooManyRequests':
      return 'the API server is busy or limits this account; the request is tried again later';
    case 'BadRequest':
      return 'the request is malformed for this API server: check that it is Kubernetes 1.32 or newer';
    default:
      return 'the API server failed; the request is tried again';
  }
}
