// SPDX-License-Identifier: Apache-2.0
/** Messages about network namespaces (linux/net_namespace.h). Pure. */
import { attribute, attributesIn, message, messagesIn, type Request, u32 } from './encoding.ts';

const RTM_NEWNSID = 88;
const RTM_GETNSID = 90;
const NETNSA = { Id: 1, Fd: 3 };
/** rtgenmsg: family u8, padded. */
const FIXED = 4;

/** Asks for the number by which this namespace knows that of an open file. */
export function getNetnsId(netnsFd: number): Request {
  const bytes = message(RTM_GETNSID, 0, Buffer.alloc(FIXED), [attribute(NETNSA.Fd, u32(netnsFd))]);
  return { what: 'number of a namespace', bytes };
}

/** The number in an answer; negative: it has none. */
export function netnsIdIn(answer: Buffer): number | undefined {
  const body = messagesIn(answer).find(({ type }) => type === RTM_NEWNSID)?.body;
  return body && attributesIn(body.subarray(FIXED)).get(NETNSA.Id)?.readInt32LE();
}
