// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { hostPortsOf } from './port-mappings.ts';

test('as runtimes write them', () => {
  const mappings = [
    { hostPort: 80, containerPort: 8080, protocol: 'TCP', hostIP: '' },
    { hostPort: 53, containerPort: 53, protocol: 'udp', hostIP: '2001:DB8::0001' },
    { hostPort: 7000, containerPort: 7000, protocol: 'sctp' },
    { hostPort: 81, containerPort: 80 },
  ];
  expect(hostPortsOf(mappings)).toEqual([
    { hostPort: 80, containerPort: 8080, protocol: 'TCP', hostIP: '' },
    { hostPort: 53, containerPort: 53, protocol: 'UDP', hostIP: '2001:db8::1' },
    { hostPort: 7000, containerPort: 7000, protocol: 'SCTP', hostIP: '' },
    { hostPort: 81, containerPort: 80, protocol: 'TCP', hostIP: '' },
  ]);
  expect(hostPortsOf([])).toEqual([]);
});

test('as containerd writes them, by the names of Go', () => {
  const mappings = [
    { HostPort: 54323, ContainerPort: 8080, Protocol: 'tcp', HostIP: '127.0.0.1' },
    { HostPort: 54323, ContainerPort: 8080, Protocol: 'udp', HostIP: '' },
  ];
  expect(hostPortsOf(mappings)).toEqual([
    { hostPort: 54323, containerPort: 8080, protocol: 'TCP', hostIP: '127.0.0.1' },
    { hostPort: 54323, containerPort: 8080, protocol: 'UDP', hostIP: '' },
  ]);
});

const good = { hostPort: 80, containerPort: 8080 };
test.each<[string, unknown, string]>([
  ['no list', {}, 'portMappings: not a list'],
  ['too many', Array.from({ length: 129 }, (_, i) => ({ ...good, hostPort: i + 1 })), '129 ports'],
  ['no object', [7], 'portMappings[0]: not an object'],
  ['port 0', [{ ...good, hostPort: 0 }], 'portMappings[0].hostPort: 0'],
  ['a text', [good, { ...good, hostPort: '81' }], 'portMappings[1].hostPort: "81"'],
  ['no port of the container', [{ hostPort: 80 }], 'portMappings[0].containerPort: undefined'],
  ['another protocol', [{ ...good, protocol: 'icmp' }], 'portMappings[0].protocol: "icmp"'],
  ['no address', [{ ...good, hostIP: 'eth0' }], 'portMappings[0].hostIP: "eth0"'],
  ['SCTP to another port', [{ ...good, protocol: 'sctp' }], 'checksum of SCTP'],
  ['twice', [good, { ...good, containerPort: 81 }], 'portMappings[1]: port 80/TCP is there twice'],
])('refused: %s', (_, value, message) => {
  expect(() => hostPortsOf(value)).toThrow(message);
});
