// SPDX-License-Identifier: Apache-2.0
/** What the plugin and the agent say to each other; cni/exchange.h is the other side. Pure. */

/** First field of a request: another layout is another word. */
const PROTOCOL = 'cubeplane-cni/1';
const FIELDS = 7;
/** Six variables of 16 KiB and a configuration of 1 MiB, as the plugin bounds them. */
export const MAX_REQUEST = 6 * 16_385 + (1 << 20) + 64;

/** One call of a runtime: the variables CNI_… as they were set, empty where they were not, and standard input. */
export interface CniCall {
  readonly command: string;
  readonly containerId: string;
  readonly netns: string;
  readonly ifname: string;
  readonly args: string;
  readonly path: string;
  readonly config: string;
}

/** Reads a whole request; undefined for one that no plugin of this release sends. */
export function readCall(bytes: Buffer): CniCall | undefined {
  const fields: string[] = [];
  let at = 0;
  while (fields.length < FIELDS) {
    const end = bytes.indexOf(0, at);
    if (end < 0) return undefined;
    fields.push(bytes.toString('utf8', at, end));
    at = end + 1;
  }
  const [protocol, command = '', containerId = '', netns = '', ifname = '', args = '', path = ''] = fields;
  if (protocol !== PROTOCOL) return undefined;
  return { command, containerId, netns, ifname, args, path, config: bytes.toString('utf8', at) };
}

/** What the plugin prints, and its exit status. */
export interface CniAnswer {
  readonly status: 0 | 1;
  /** JSON; undefined: the specification wants nothing printed. */
  readonly body: object | undefined;
}

/** Sent every second while the agent works, so that the plugin can tell it from one that hangs. */
export const SIGN_OF_LIFE = '\n';

export function answerText({ status, body }: CniAnswer): string {
  const text = body === undefined ? '\n' : `${JSON.stringify(body)}\n`;
  return `${status} ${Buffer.byteLength(text)}\n${text}`;
}
