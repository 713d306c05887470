// SPDX-License-Identifier: Apache-2.0
/** The capability bandwidth, as runtimes pass it on (CNI conventions). Pure. */
import { isObject } from '../../api/is-object.ts';
import { BURST, RATE } from '../../api/schemas/limit.ts';
import type { PodBandwidth } from '../pod-record.ts';
import { CniError, CODE } from './cni-error.ts';
import { byNames } from './go-names.ts';

const FIELD = 'runtimeConfig.bandwidth';
const KEYS = ['ingressRate', 'ingressBurst', 'egressRate', 'egressBurst'];

/**
 * What runtimes write as the burst of a Pod, for which its annotations have no word (the largest numbers of 31 and 32 bits):
 * 256 MB and more that no limit would hold.
 */
const NOTHING_SAID = [2 ** 31 - 1, 2 ** 32 - 1];

const wrong = (what: string, remedy: string) => new CniError(CODE.InvalidConfig, `${FIELD}${what}`, remedy);

/** Undefined where nothing is limited. Throws CniError, which names the field. */
export function bandwidthOf(given: unknown): PodBandwidth | undefined {
  if (!isObject(given))
    throw wrong(
      ': not an object',
      'the runtime writes it there, as {"ingressRate": 10000000, "ingressBurst": 2500000}',
    );
  const value = byNames(given, KEYS);
  for (const [key, wish] of Object.entries(value))
    if (!KEYS.includes(key) && !isNothing(wish))
      throw new CniError(
        CODE.UnsupportedField,
        `unsupported field ${FIELD}.${key}: ${JSON.stringify(wish)}`,
        `leave it out: there are ${KEYS.join(', ')}`,
      );
  const ingress = direction('ingress', value);
  const egress = direction('egress', value);
  if (ingress === undefined && egress === undefined) return undefined;
  return { ...(ingress === undefined ? {} : { ingress }), ...(egress === undefined ? {} : { egress }) };
}

function isNothing(value: unknown): boolean {
  return value == null || value === 0 || (Array.isArray(value) && value.length === 0);
}

function direction(
  name: 'ingress' | 'egress',
  fields: Readonly<Record<string, unknown>>,
): PodBandwidth['ingress'] {
  const [rate, burst] = [bits(`${name}Rate`, fields, RATE), bits(`${name}Burst`, fields, BURST)];
  if (rate === undefined && burst === undefined) return undefined;
  if (rate === undefined)
    throw wrong(`.${name}Burst: ${burst}, and no ${name}Rate`, `set ${name}Rate too, or leave both out`);
  if (burst === undefined || NOTHING_SAID.includes(burst)) return { bitsPerSecond: rate };
  return { bitsPerSecond: rate, burst };
}

/** Undefined where nothing is asked: 0 is none, as for the plugin bandwidth. */
function bits(
  key: string,
  fields: Readonly<Record<string, unknown>>,
  { minimum, maximum }: { readonly minimum: number; readonly maximum: number },
): number | undefined {
  const value = fields[key];
  if (isNothing(value)) return undefined;
  const range = `${minimum} to ${maximum} bits${key.endsWith('Rate') ? ' a second' : ''}`;
  if (typeof value === 'number' && Number.isInteger(value) && value >= minimum && value <= maximum)
    return value;
  throw wrong(`.${key}: ${JSON.stringify(value)}`, `give a whole number, ${range}`);
}
