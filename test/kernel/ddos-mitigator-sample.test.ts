// SPDX-License-Identifier: Apache-2.0
/** samples/ddos-mitigator.yaml, validated, filled into the kernel and met by packets; and a list of a million addresses. */
import { readFileSync } from 'node:fs';
import { expect, jest, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import type { DDoSMitigator } from '../../src/api/generated/types.ts';
import { validate } from '../../src/api/validate.ts';
import type { PrefixRow } from '../../src/cubes/ddos-mitigator/image.ts';
import { Chain } from './support/chain.ts';
import { addMitigator, INSIDE, outcome } from './support/mitigator.ts';
import { ethernet, ip, udp } from './support/packet.ts';
import { XdpChain } from './support/xdp-chain.ts';

jest.setTimeout(120_000);

interface Sample {
  kind: string;
  metadata: { name: string; namespace: string };
  spec: { ddosMitigator?: DDoSMitigator; prefixes?: PrefixRow[] };
}

test.each([
  ['TC', Chain],
  ['XDP', XdpChain],
] as const)('the sample refuses as it says, at %s', async (_, Hook) => {
  const objects = parseAllDocuments(
    readFileSync(new URL('../../samples/ddos-mitigator.yaml', import.meta.url), 'utf8'),
  ).map((document) => {
    const result = validate(document.toJS());
    if (!result.ok) throw new Error(result.message);
    return result.object as unknown as Sample;
  });
  const spec = objects.find(({ metadata }) => metadata.name === 'mitigator')?.spec.ddosMitigator;
  const table = objects.find(({ kind }) => kind === 'CubeTable')?.spec.prefixes;
  using chain = await Hook.open();
  await addMitigator(chain, spec, { 'cubeplane-system/blocklist': table ?? [] });
  const fate = (src: string, dst = src.includes(':') ? 'fd00:244:1::5' : '10.244.1.5') => {
    const { left, drops } = outcome(chain, ethernet({}, ip({ src, dst }, udp({ sport: 1, dport: 2 }))));
    return left === INSIDE ? 'passed' : drops.join();
  };
  expect(fate('203.0.113.9')).toBe('SourceDenied');
  expect(fate('203.0.113.7')).toBe('passed');
  expect(fate('2001:db8:bad::1')).toBe('SourceDenied');
  expect(fate('2001:db8:1::1')).toBe('passed');
  expect(fate('198.51.100.13')).toBe('SourceDenied');
  expect(fate('192.0.2.1')).toBe('passed');
  expect(fate('192.0.2.1', '10.244.1.66')).toBe('DestinationDenied');
});

/** The `i`-th of two million distinct addresses; every fourth is IPv6. Those with odd `i` are in the list. */
function address(i: number): string {
  const spread = Math.imul(i, 0x9e3779b1) >>> 0; // a bijection of 32 bits
  if (i % 8 < 2) return `2001:db8:${(spread >>> 16).toString(16)}:${(spread & 0xffff).toString(16)}::7`;
  return [spread >>> 24, (spread >>> 16) & 255, (spread >>> 8) & 255, spread & 255].join('.');
}

test('a list of a million addresses refuses what it lists, and nothing else', async () => {
  const count = 1_000_000;
  const lines = Array.from({ length: count }, (_, i) => address(2 * i + 1));
  using chain = await Chain.open();
  const { set, cube, image } = await addMitigator(chain, {
    sizes: {
      maxSourceHosts: 1_048_576,
      maxSourcePrefixes: 16,
      maxDestinationHosts: 16,
      maxDestinationPrefixes: 16,
      maxSourceBuckets: 16,
      maxSynBuckets: 16,
    },
  });
  expect(set('test/bots', [{ file: 'bots.prefixes', list: 'DenySource', text: lines.join('\n') }])).toEqual(
    [],
  );
  expect(image.usage().source_hosts?.used).toBe(count);
  expect(cube.map('source_hosts').dumpSync().count).toBe(count);
  const fate = (src: string) => {
    const dst = src.includes(':') ? 'fd00::1' : '10.0.0.1';
    const { retval } = chain.entry.testRun({
      dataIn: ethernet({}, ip({ src, dst }, udp({ sport: 1, dport: 2 }))),
      ctxIn: chain.context(),
    });
    return retval;
  };
  const step = 97; // a sample of about ten thousand of each
  const before = cube.tally().get('drop ddos-mitigator SourceDenied') ?? 0;
  let listed = 0;
  for (let i = 0; i < count; i += step, listed++) fate(address(2 * i + 1));
  expect((cube.tally().get('drop ddos-mitigator SourceDenied') ?? 0) - before).toBe(listed);
  const passed = cube.tally().get('count ddos-mitigator passed') ?? 0;
  for (let i = 0; i < count; i += step) fate(address(2 * i));
  expect((cube.tally().get('count ddos-mitigator passed') ?? 0) - passed).toBe(listed);
});
