// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CniError } from './cni-error.ts';
import { parseConfiguration } from './configuration.ts';
import type { Command } from './versions.ts';

const BASE = { cniVersion: '1.1.0', name: 'net', type: 'cubeplane-cni' };

function refusal(command: Command, conf: unknown): { code: number; message: string; remedy: string } {
  try {
    parseConfiguration(command, typeof conf === 'string' ? conf : JSON.stringify(conf));
  } catch (error) {
    if (error instanceof CniError) return error;
    throw error;
  }
  throw new Error('it was taken');
}

test('all fields', () => {
  const conf = {
    ...BASE,
    socket: '/run/x.sock',
    mtu: 1400,
    ranges: [{ subnet: '10.1.0.0/24', gateway: '10.1.0.9' }, { subnet: 'fd00::/64' }],
    dns: { nameservers: ['10.96.0.10'], search: ['a.example'], domain: 'example', options: ['ndots:5'] },
    capabilities: { portMappings: true, bandwidth: false },
    runtimeConfig: {
      portMappings: [{ hostPort: 80, containerPort: 8080, protocol: 'tcp' }],
      bandwidth: { ingressRate: 1000, ingressBurst: 500 },
    },
    args: { labels: [] },
    'cni.dev/attachments': [],
  };
  expect(parseConfiguration('ADD', JSON.stringify(conf))).toEqual({
    cniVersion: '1.1.0',
    name: 'net',
    mtu: 1400,
    ranges: [
      { family: 4, subnet: '10.1.0.0/24', gateway: '10.1.0.9' },
      { family: 6, subnet: 'fd00::/64', gateway: 'fd00::1' },
    ],
    dns: conf.dns,
    hostPorts: [{ hostPort: 80, containerPort: 8080, protocol: 'TCP', hostIP: '' }],
    bandwidth: { ingress: { bitsPerSecond: 1000, burst: 500 } },
  });
});

describe('what is refused', () => {
  test.each<[string, Command, unknown, number, string]>([
    ['no JSON', 'ADD', '{', 6, 'standard input'],
    ['a list', 'ADD', '[]', 6, 'standard input'],
    ['no version', 'ADD', { name: 'net' }, 1, 'cniVersion: not set'],
    ['an old version', 'DEL', { ...BASE, cniVersion: '0.2.0' }, 1, 'cniVersion: "0.2.0"'],
    ['a future version', 'ADD', { ...BASE, cniVersion: '2.0.0' }, 1, 'cniVersion: "2.0.0"'],
    ['CHECK before 0.4.0', 'CHECK', { ...BASE, cniVersion: '0.3.1' }, 1, 'has no CHECK'],
    ['STATUS before 1.1.0', 'STATUS', { ...BASE, cniVersion: '1.0.0' }, 1, 'has no STATUS'],
    ['GC before 1.1.0', 'GC', { ...BASE, cniVersion: '1.0.0' }, 1, 'has no GC'],
    ['no name', 'ADD', { cniVersion: '1.0.0' }, 7, 'name: not set'],
    ['a name with a slash', 'DEL', { ...BASE, name: '../x' }, 7, 'name'],
    ['a misspelt field', 'ADD', { ...BASE, mut: 1400 }, 2, 'mut: 1400'],
    ['ipam', 'ADD', { ...BASE, ipam: { type: 'host-local' } }, 2, 'ipam: {"type":"host-local"}'],
    ['ipMasq', 'ADD', { ...BASE, ipMasq: true }, 2, 'ipMasq: true'],
    [
      'half a port mapping',
      'ADD',
      { ...BASE, runtimeConfig: { portMappings: [{ hostPort: 1 }] } },
      7,
      'runtimeConfig.portMappings[0].containerPort',
    ],
    [
      'a bandwidth below all',
      'ADD',
      { ...BASE, runtimeConfig: { bandwidth: { ingressRate: 1 } } },
      7,
      'runtimeConfig.bandwidth.ingressRate: 1',
    ],
    ['another capability', 'STATUS', { ...BASE, capabilities: { ips: true } }, 2, 'capabilities.ips'],
    ['capabilities that are a list', 'ADD', { ...BASE, capabilities: [] }, 7, 'capabilities'],
    ['an MTU below that of IPv6', 'ADD', { ...BASE, mtu: 1000 }, 7, 'mtu: 1000'],
    ['an MTU that is text', 'ADD', { ...BASE, mtu: '1400' }, 7, 'mtu'],
    ['no range in ranges', 'ADD', { ...BASE, ranges: [] }, 7, 'ranges'],
    ['a range without subnet', 'ADD', { ...BASE, ranges: [{}] }, 7, 'ranges[0]'],
    ['a range that is none', 'ADD', { ...BASE, ranges: [{ subnet: '10.1.0.0' }] }, 7, 'ranges[0].subnet'],
    [
      'a gateway elsewhere',
      'ADD',
      { ...BASE, ranges: [{ subnet: '10.1.0.0/24', gateway: '10.2.0.1' }] },
      7,
      'ranges[0].gateway',
    ],
    [
      'rangeStart',
      'ADD',
      { ...BASE, ranges: [{ subnet: '10.1.0.0/24', rangeStart: '10.1.0.9' }] },
      2,
      'ranges[0].rangeStart',
    ],
    [
      'two ranges of a family',
      'ADD',
      { ...BASE, ranges: [{ subnet: '10.1.0.0/24' }, { subnet: '10.2.0.0/24' }] },
      7,
      'two of one family',
    ],
    ['dns that is text', 'ADD', { ...BASE, dns: 'x' }, 7, 'dns'],
    ['an unknown field of dns', 'ADD', { ...BASE, dns: { server: 'x' } }, 7, 'dns.server'],
    ['a plugin before this one', 'ADD', { ...BASE, prevResult: { ips: [] } }, 7, 'prevResult'],
    ['a prevResult that is a list', 'CHECK', { ...BASE, prevResult: [] }, 7, 'prevResult'],
    ['GC with a text for a list', 'GC', { ...BASE, 'cni.dev/valid-attachments': 'all' }, 7, 'not a list'],
    [
      'GC with an attachment without name',
      'GC',
      { ...BASE, 'cni.dev/valid-attachments': [{ containerID: 'a' }] },
      7,
      '[0]',
    ],
  ])('%s', (_, command, conf, code, names) => {
    const error = refusal(command, conf);
    expect(error.code).toBe(code);
    expect(error.message).toContain(names);
    expect(error.remedy).not.toBe('');
  });
});

test('DEL and GC look at nothing else, so that pods can go', () => {
  const odd = { ...BASE, mut: 1, ranges: 7, capabilities: { portMappings: true }, prevResult: 3 };
  expect(parseConfiguration('DEL', JSON.stringify(odd))).toEqual({ cniVersion: '1.1.0', name: 'net' });
  const valid = [{ containerID: 'a', ifname: 'eth0' }];
  const gc = parseConfiguration('GC', JSON.stringify({ ...odd, 'cni.dev/valid-attachments': valid }));
  expect([...(gc.valid ?? [])]).toEqual(['a/eth0']);
  const validOf = (members: object) =>
    parseConfiguration('GC', JSON.stringify({ ...BASE, ...members })).valid;
  expect(validOf({ 'cni.dev/attachments': valid })).toEqual(new Set(['a/eth0']));
  expect(validOf({ 'cni.dev/valid-attachments': null })).toEqual(new Set());
  expect(validOf({})).toEqual(new Set());
});

test('any JSON is taken, or refused with a CniError', () => {
  const commands = fc.constantFrom<Command>('ADD', 'DEL', 'CHECK', 'STATUS', 'GC');
  const keys = fc.constantFrom(
    'mtu',
    'ranges',
    'dns',
    'prevResult',
    'capabilities',
    'runtimeConfig',
    'args',
    'x',
  );
  const members = fc.dictionary(keys, fc.jsonValue({ maxDepth: 4 }));
  fc.assert(
    fc.property(commands, fc.oneof(fc.json(), members), (command, value) => {
      const text = typeof value === 'string' ? value : JSON.stringify({ ...BASE, ...value });
      try {
        parseConfiguration(command, text);
      } catch (error) {
        expect(error).toBeInstanceOf(CniError);
      }
    }),
    { numRuns: 1000 },
  );
});
