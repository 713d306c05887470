// SPDX-License-Identifier: Apache-2.0

/** What a failed kernel call is made of, as the native side reports it. */
export interface KernelErrorFields {
  /** errno's number, positive. */
  errno: number;
  /** errno's name, for example `EPERM`. */
  code: string;
  /** The bpf command, for example `BPF_MAP_UPDATE_ELEM`. */
  call: string;
  /** Name of the map or program, or the path, that the call was about. */
  object: string;
  /** One line: the verifier's complaint, or errno's own text. */
  detail: string;
  /** The verifier's or libbpf's log; empty where there is none. */
  log: string;
}

const remedies: readonly [call: RegExp, code: string, remedy: string][] = [
  [/^BPF_/, 'EPERM', 'run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON'],
  [/^BPF_MAP_UPDATE/, 'E2BIG', 'the map is full: load it with more entries'],
  [/^BPF_MAP_UPDATE/, 'ENOSPC', 'the map is full: load it with more entries'],
  [/^BPF_OBJ_GET$/, 'ENOENT', 'nothing is pinned there: check that the BPF file system is mounted'],
  [/^BPF_OBJ_PIN$/, 'ENOENT', 'make the folder first, on a mounted BPF file system'],
  [/^BPF_OBJ_(PIN|GET)$/, 'EINVAL', 'the path must lie on a BPF file system (mount -t bpf bpf /sys/fs/bpf)'],
  [/^BPF_OBJ_PIN$/, 'EPERM', 'the path must lie on a BPF file system and its last part may hold no dot'],
  [/^BPF_LINK_CREATE$/, 'ENODEV', 'there is no such network interface in this network namespace'],
  [/^BPF_LINK_UPDATE$/, 'ENOLINK', 'the interface of this link is gone: make a new link'],
  [/^BPF_OBJECT_OPEN$/, 'ENOENT', 'build the BPF objects with make'],
  [/^BPF_PROG_LOAD$/, 'EACCES', 'the verifier refused the program: its log says where'],
];

function remedyFor(fields: KernelErrorFields): string {
  const exact = remedies.filter(([call, code]) => code === fields.code && call.test(fields.call));
  return exact.at(-1)?.[2] ?? '';
}

/**
 * A kernel call that failed. `message` reads `BPF_PROG_LOAD router: EACCES: R1 type=scalar expected=ctx`;
 * `remedy` says what to do about it where that is known, else it is empty.
 */
export class KernelError extends Error {
  override readonly name = 'KernelError';
  readonly errno: number;
  readonly code: string;
  readonly call: string;
  readonly object: string;
  readonly detail: string;
  readonly log: string;
  readonly remedy: string;

  constructor(fields: KernelErrorFields) {
    super(`${fields.call} ${fields.object}: ${fields.code}: ${fields.detail}`);
    this.errno = fields.errno;
    this.code = fields.code;
    this.call = fields.call;
    this.object = fields.object;
    this.detail = fields.detail;
    this.log = fields.log;
    this.remedy = remedyFor(fields);
  }
}

/** The same for a failed file system call on a pin. */
export function fileError(call: string, path: string, cause: unknown): KernelError {
  const { errno = 0, code = 'EIO', message } = cause as NodeJS.ErrnoException;
  const error = new KernelError({
    errno: Math.abs(errno),
    code,
    call,
    object: path,
    detail: message.replace(/^[A-Z0-9]+: /, '').replace(/, \w+ '.*$/, ''),
    log: '',
  });
  error.cause = cause;
  return error;
}
