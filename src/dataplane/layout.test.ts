// SPDX-License-Identifier: Apache-2.0
/** Rows as hexadecimal text and back. The codecs themselves have tests against the kernel (test/kernel/codec.test.ts). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { attachments, nodeConfig, overlaySources, pods } from './generated/tcx.ts';
import {
  CUBE_ABI,
  CUBE_BANKS,
  CUBE_PORTS,
  CUBE_SLOTS,
  decodeAddress,
  decodeAttachment,
  decodeIfindex,
  decodePod,
  decodePrefix,
  EdgeKind,
  EMPTY_CONFIG,
  edgeIndex,
  edgeSlot,
  edgeText,
  edgeWord,
  encodeAddress,
  encodeAttachment,
  encodeConfig,
  encodeIfindex,
  encodePod,
  encodePrefix,
  type Hex,
  POD_ADDRESSES,
  PREFIX_LENGTHS,
} from './layout.ts';

const bytes = (hex: Hex) => Buffer.from(hex, 'hex');

describe('rows', () => {
  test('of attachments', () => {
    const row = {
      port: 1,
      counters: 300,
      open: true,
      mac: '02:00:00:00:00:07',
      addresses: ['10.244.1.2', 'fd00:244::2'],
    };
    const hex = encodeAttachment(row);
    expect(hex.length / 2).toBe(attachments.valueSize);
    expect(attachments.decodeValue(bytes(hex))).toEqual({
      port: 1,
      counters: 300,
      failure: 1,
      flags: 0,
      addressesCount: 2,
      mac: row.mac,
      addresses: ['10.244.1.2', 'fd00:244::2', '::', '::'],
    });
    expect(decodeAttachment(hex)).toEqual(row);
    expect(decodeAttachment(encodeAttachment({ port: 8, counters: 0, open: false }))).toEqual({
      port: 8,
      counters: 0,
      open: false,
    });
    expect(decodeIfindex(encodeIfindex(70_000))).toBe(70_000);
  });

  test('of pods', () => {
    expect(encodeAddress('10.0.0.1').length / 2).toBe(pods.keySize);
    for (const address of ['10.0.0.1', 'fd00::1', '::', '0.0.0.0', '255.255.255.255']) {
      expect(decodeAddress(encodeAddress(address))).toBe(address);
      expect(pods.decodeKey(bytes(encodeAddress(address)))).toBe(address);
    }
    const hex = encodePod({ ifindex: 513, mac: '02:00:00:00:00:07' });
    expect(hex.length / 2).toBe(pods.valueSize);
    expect(pods.decodeValue(bytes(hex))).toEqual({ ifindex: 513, mac: '02:00:00:00:00:07' });
    expect(decodePod(hex)).toEqual({ ifindex: 513, mac: '02:00:00:00:00:07' });
  });

  test('of overlay sources', () => {
    expect(overlaySources.decodeKey(bytes(encodePrefix('10.244.2.0/24')))).toEqual({
      length: 120,
      addr: '10.244.2.0',
    });
    expect(overlaySources.decodeKey(bytes(encodePrefix('fd00:2::/64')))).toEqual({
      length: 64,
      addr: 'fd00:2::',
    });
    for (const prefix of ['10.244.2.0/24', 'fd00:2::/64'])
      expect(decodePrefix(encodePrefix(prefix))).toBe(prefix);
  });

  test('of the settings of a node, without epoch and trace', () => {
    const hex = encodeConfig({
      overlayIfindex: 5,
      overlayVni: 77,
      sourceLengthsV4: [128, 120],
      sourceLengthsV6: [64],
    });
    expect(hex.length / 2).toBe(nodeConfig.valueSize);
    expect(nodeConfig.decodeValue(bytes(hex))).toEqual({
      epoch: 0,
      tracing: 0,
      overlayIfindex: 5,
      overlayVni: 77,
      sourceLengthsV4: [128, 120, 0, 0],
      sourceLengthsV6: [64, 0, 0, 0],
    });
    expect(EMPTY_CONFIG).toBe('00'.repeat(nodeConfig.valueSize));
  });

  test('that hold too much are refused with the field', () => {
    const addresses = Array.from({ length: POD_ADDRESSES + 1 }, (_, i) => `10.0.0.${i}`);
    expect(() => encodeAttachment({ port: 1, counters: 0, open: false, addresses })).toThrow(
      'Attachment.addresses: 5 elements do not fit into 4',
    );
    expect(() => encodeAddress('10.0.0')).toThrow('is no IP address');
  });
});

test.each(Object.entries({ CUBE_ABI, CUBE_SLOTS, CUBE_PORTS, CUBE_BANKS, POD_ADDRESSES, PREFIX_LENGTHS }))(
  '%s is what bpf/include says',
  (name, value) => {
    const header = ['limits.h', 'maps.h']
      .map((file) => readFileSync(join(import.meta.dirname, '../../bpf/include', file), 'utf8'))
      .join('\n');
    expect(Number(new RegExp(`#define ${name}\\s+(\\d+)`).exec(header)?.[1])).toBe(value);
  },
);

test('an edge is one word', () => {
  const word = edgeWord(EdgeKind.Cube, 200, 63);
  expect(word).toBe((1n << 48n) | (63n << 32n) | 200n);
  expect([edgeSlot(word), edgeText(word)]).toEqual([200, 'slot 200 port 63']);
  expect([edgeSlot(edgeWord(EdgeKind.Neigh, 7)), edgeText(edgeWord(EdgeKind.Neigh, 7))]).toEqual([
    undefined,
    'neigh if 7',
  ]);
  expect(edgeIndex(2, 3)).toBe(131);
});
