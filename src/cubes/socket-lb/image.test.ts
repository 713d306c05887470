// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { Service, SocketLB } from '../../api/generated/types.ts';
import { SocketLBImage } from './image.ts';

const SPEC: SocketLB = {
  scope: 'Host',
  scopes: ['ClusterIP'],
  noBackends: 'Reject',
  udpDrainSeconds: 10,
  sessions: {
    maxFlows: 16,
    flowTimeout: 1,
    maxAffinity: 16,
    maxBackends: 16,
    maxFrontends: 16,
    maxPicks: 64,
  },
};
const NODE = { name: 'node-a', gatewayMac: '', overlayVni: 1, redirectPeer: true, addresses: [] };

function service(protocol: 'TCP' | 'UDP', count: number): Service {
  return {
    namespace: 'n',
    name: 'web',
    frontends: [
      {
        name: '',
        addresses: ['10.96.0.1'],
        port: 80,
        protocol,
        scope: 'ClusterIP',
        affinity: { type: 'None', timeoutSeconds: 1 },
        sourceRanges: [],
        trafficPolicy: 'Cluster',
      },
    ],
    backends: Array.from({ length: count }, (_, index) => ({
      address: `10.0.0.${index + 1}`,
      weight: 1,
      state: 'Ready' as const,
      ports: [{ name: '', protocol, port: 8080 }],
    })),
  };
}

function scaled(protocol: 'TCP' | 'UDP'): SocketLBImage {
  const image = new SocketLBImage(SPEC, NODE);
  image.tick(1000);
  image.setTable('n/web', [service(protocol, 2)]);
  image.settle();
  image.take();
  expect(image.sweeps()).toBe(true); // of a time without an agent nothing is known
  expect(image.sweeps()).toBe(false);
  image.setTable('n/web', [service(protocol, 1)]);
  image.take();
  return image;
}

test('sockets are looked for when the drain time of a UDP backend is over, once', () => {
  const image = scaled('UDP');
  expect(image.sweeps()).toBe(false);
  let due: number | undefined = 1000;
  for (let calls = 0; due !== undefined && calls < 10; calls++) due = image.tick(due);
  expect(image.sweeps()).toBe(true);
  expect(image.sweeps()).toBe(false);
});

test('sockets of TCP end as their backend ends them', () => {
  const image = scaled('TCP');
  for (let due: number | undefined = 1000; due !== undefined; ) due = image.tick(due);
  expect(image.sweeps()).toBe(false);
});
