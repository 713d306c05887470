// SPDX-License-Identifier: Apache-2.0
/** In words, how a router that finds MACs itself differs from its models: packets, records, rows, buckets. */
import type { PacketOut } from '../../../src/cubes/cube-type.ts';
import { mappedBytes } from '../support/bytes.ts';
import { type Chain, Verdict } from '../support/chain.ts';
import { addressOf } from './parse-model.ts';
import type { Sent } from './resolve-agent-model.ts';
import { headOf, RESUME } from './resolve-kernel.ts';
import type { Decided, Handed, HeardCount, ProgramModel, Row } from './resolve-program-model.ts';

/** Bytes of a packet, and of a record of what was heard, that reach the agent. */
export const CAPTURED = { unresolved: 2048, stale: 128, heard: 128 } as const;
const CODES = { unresolved: 1, stale: 2, heard: 3 } as const;

export const words = (value: unknown): string =>
  JSON.stringify(value, (_, part) => {
    if (typeof part === 'bigint') return part.toString(16);
    return part?.type === 'Buffer' ? Buffer.from(part.data).toString('hex') : part;
  });

export function compare(
  { end, port, frame, nextHop, tunnel }: Decided,
  actual: ReturnType<Chain['shoot']>,
): string[] {
  if (end === 'pass') return actual.verdict === Verdict.pass ? [] : ['the host should have it'];
  if (end === 'drop') return actual.verdict === Verdict.drop ? [] : ['it should be dropped'];
  const { seen } = actual;
  if (actual.verdict !== Verdict.ok || !seen) return ['it should go out'];
  const found: string[] = [];
  if (seen.port !== port) found.push(`port ${seen.port}, not ${port}`);
  if (tunnel !== undefined && addressOf(mappedBytes(seen.work.tunnelRemote)) !== tunnel)
    found.push(`tunnel to ${seen.work.tunnelRemote}`);
  if (nextHop !== undefined && addressOf(mappedBytes(seen.work.nextHop)) !== nextHop)
    found.push(`next hop ${seen.work.nextHop}`);
  if (!actual.frame.equals(frame)) found.push('other bytes');
  return found;
}

export function compareRecords(expected: readonly Handed[], records: readonly Buffer[]): string[] {
  const found =
    expected.length === records.length ? [] : [`${records.length} records, not ${expected.length}`];
  expected.forEach(({ code, port, frame }, i) => {
    const record = records[i];
    if (!record) return;
    const head = headOf(record);
    if (head.code !== CODES[code] || head.port !== port || head.length !== frame.length)
      found.push(`record ${i}: code ${head.code} by port ${head.port}, ${head.length} bytes`);
    if (!head.packet.equals(frame.subarray(0, CAPTURED[code])))
      found.push(`record ${i} has ${head.packet.toString('hex')}`);
  });
  return found;
}

export function compareRows(expected: ReadonlyMap<string, Row>, actual: ReadonlyMap<string, Row>): string[] {
  return [...new Set([...expected.keys(), ...actual.keys()])].flatMap((key) => {
    const [model, kernel] = [expected.get(key), actual.get(key)].map((row) => {
      if (!row) return 'none';
      const hasMac = row.state === 'Resolved' || row.state === 'Static';
      const { mac, staleAt, ...rest } = row;
      return JSON.stringify(
        { ...rest, mac: hasMac && mac, staleAt: row.state === 'Resolved' && staleAt },
        ORDER,
      );
    });
    return model === kernel ? [] : [`row ${key}: model ${model}, kernel ${kernel}`];
  });
}

const ORDER = ['state', 'mac', 'staleAt', 'used', 'toldAt', 'told'];

export function compareHeard(
  expected: ReadonlyMap<string, HeardCount>,
  actual: ReadonlyMap<string, HeardCount>,
): string[] {
  return [...new Set([...expected.keys(), ...actual.keys()])].flatMap((key) => {
    const [model, kernel] = [expected.get(key), actual.get(key)].map(
      (count) => count && `${count.records} in ${count.second}`,
    );
    return model === kernel ? [] : [`heard of ${key}: model ${model}, kernel ${kernel}`];
  });
}

export function compareBuckets(
  expected: ProgramModel['buckets'],
  actual: ProgramModel['buckets'],
  within: bigint,
): string[] {
  return (['packets', 'heard'] as const).flatMap((kind) => {
    const off = expected[kind] - actual[kind];
    return (off < 0n ? -off : off) <= within ? [] : [`bucket of ${kind}: off by ${off} ns`];
  });
}

export function compareSent(expected: readonly Sent[], actual: readonly PacketOut[]): string[] {
  const found =
    expected.length === actual.length ? [] : [`${actual.length} packets sent, not ${expected.length}`];
  expected.forEach(({ how, port, frame }, i) => {
    const one = actual[i];
    if (!one) return;
    const isSame =
      one.port === port &&
      one.direction === (how === 'out' ? 'out' : 'in') &&
      (how === 'out' || one.metadata === RESUME[how]) &&
      frame.equals(one.packet);
    if (!isSame)
      found.push(
        `sent ${words({ ...one, packet: Buffer.from(one.packet) })}, not ${how} ${port} ${frame.toString('hex')}`,
      );
  });
  return found;
}
