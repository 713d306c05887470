// SPDX-License-Identifier: Apache-2.0
/** Which packets a live trace is about, in words → the row of the map `trace_filter`. Pure. */
import { hostPrefix, parseAddress, parsePrefix } from '../../api/ip.ts';
import { addressBytes } from '../../cubes/codec/address.ts';
import { AgentError } from '../errors.ts';
import type { TraceFilter } from '../generated/tcx.ts';

export interface FilterRequest {
  /** An address or prefix that either end of the packet is in, as it comes in: before any translation. */
  readonly host?: string;
  /** Either port. */
  readonly port?: number;
  readonly protocol?: string;
  /** Where it comes in. */
  readonly interface?: string;
  /** Packets a second at most. */
  readonly rate: number;
}

type FilterRow = Omit<TraceFilter, 'host' | 'hostMask' | 'peer' | 'peerMask'> &
  Record<'host' | 'hostMask' | 'peer' | 'peerMask', Uint8Array>;

const PROTOCOLS: Readonly<Record<string, number>> = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 };
const MAX_RATE = 10_000;

/** Throws AgentError InvalidRequest or NotFound. */
export function filterOf(
  request: FilterRequest,
  interfaces: ReadonlyMap<string, { readonly ifindex: number }>,
): FilterRow {
  const { port = 0, protocol, rate } = request;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw invalid(`port ${port}`, 'give 1 to 65535');
  if (!Number.isInteger(rate) || rate < 1 || rate > MAX_RATE)
    throw invalid(`rate ${rate}`, `give 1 to ${MAX_RATE}`);
  const proto = protocol === undefined ? 0 : PROTOCOLS[protocol.toLowerCase()];
  if (proto === undefined)
    throw invalid(`protocol ${protocol}`, `give one of ${Object.keys(PROTOCOLS).join(', ')}`);
  const device = request.interface === undefined ? { ifindex: 0 } : interfaces.get(request.interface);
  if (device === undefined)
    throw new AgentError('NotFound', `there is no interface ${request.interface}`, 'see ip link');
  const interval = BigInt(Math.floor(1e9 / rate));
  return {
    ...hostOf(request.host),
    peer: new Uint8Array(16),
    peerMask: new Uint8Array(16),
    interval,
    tolerance: interval * BigInt(rate - 1),
    full: 0n,
    ifindex: device.ifindex,
    port,
    proto,
  };
}

function invalid(what: string, remedy: string): AgentError {
  return new AgentError('InvalidRequest', `a trace cannot be of ${what}`, remedy);
}

/** Address and mask of the 128-bit form; all zero for any. */
function hostOf(text: string | undefined): { host: Uint8Array; hostMask: Uint8Array } {
  const host = new Uint8Array(16);
  const hostMask = new Uint8Array(16);
  if (text === undefined) return { host, hostMask };
  const address = parseAddress(text.split('/')[0] ?? '');
  const prefix = text.includes('/') ? parsePrefix(text) : address && hostPrefix(address);
  if (address === undefined || prefix === undefined)
    throw invalid(`host ${text}`, 'give an address or a prefix, as 10.244.1.5 or fd00::/64');
  const bytes = addressBytes(text.split('/')[0] ?? '');
  const length = prefix.length + (prefix.family === 4 ? 96 : 0);
  for (let i = 0; i < 16; i++) {
    const bits = Math.min(8, Math.max(0, length - 8 * i));
    hostMask[i] = (0xff << (8 - bits)) & 0xff;
    host[i] = (bytes[i] ?? 0) & (hostMask[i] ?? 0);
  }
  return { host, hostMask };
}
