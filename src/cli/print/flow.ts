// SPDX-License-Identifier: Apache-2.0
/** A flow as one line for people. */
import type { FlowPeer, FlowRecord } from '../../dataplane/flows/flow-record.ts';
import type { Colours } from './colours.ts';

export function flowLine(flow: FlowRecord, paint: Colours): string {
  const { time, verdict, direction, protocol, source, destination, backend, reason, rule } = flow;
  const colour = { Forwarded: paint.green, Dropped: paint.red, Audit: paint.yellow }[verdict];
  const to = backend === undefined ? '' : `, backend ${peerText(backend)}`;
  const why = [reason, rule?.text].filter((text) => text !== undefined);
  return [
    `${paint.dim(time.slice(11, 23))} ${colour(verdict)} ${direction} ${protocol ?? 'frame'}`,
    `${peerText(source)} > ${peerText(destination)}${to}`,
    ...(why.length === 0 ? [] : [why.join(': ')]),
    paint.dim(flow.cube),
  ].join('  ');
}

/** `default/client (10.244.1.5:4000)`, `Service default/web ([fd00::1]:80)`, `World (198.51.100.7)`. */
function peerText({ kind, namespace, name, address, port }: FlowPeer): string {
  const host = port !== undefined && address.includes(':') ? `[${address}]` : address;
  const at = port === undefined ? host : `${host}:${port}`;
  const who = namespace === undefined ? name : `${namespace}/${name ?? '…'}`;
  const words = [...(kind === 'Pod' ? [] : [kind]), ...(who === undefined ? [] : [who])];
  return `${words.join(' ')} (${at})`;
}
