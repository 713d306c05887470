// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { FlowRecord } from '../../dataplane/flows/flow-record.ts';
import { isWanted } from '../commands/flows.ts';
import type { Colours } from './colours.ts';
import { flowLine } from './flow.ts';

const plain = new Proxy({}, { get: () => (text: string) => text }) as Colours;
const FLOW: FlowRecord = {
  time: '2026-01-01T10:00:01.500Z',
  node: 'node-a',
  cube: 'net/kubernetes.ilb.node-a',
  verdict: 'Forwarded',
  direction: 'Egress',
  family: 'IPv6',
  protocol: 'TCP',
  source: { kind: 'Pod', namespace: 'shop', name: 'client', address: 'fd00::5', port: 40000 },
  destination: { kind: 'Service', namespace: 'shop', name: 'web', address: 'fd00:96::10', port: 80 },
  backend: { kind: 'Pod', namespace: 'ops', address: 'fd00:2::7', port: 8080 },
  length: 94,
};
const DROP: FlowRecord = {
  ...FLOW,
  verdict: 'Dropped',
  reason: 'DroppedByRule',
  rule: {
    text: 'default deny of NetworkPolicy shop/deny',
    action: 'Drop',
    origin: { kind: 'NetworkPolicy', namespace: 'shop', name: 'deny', direction: 'Ingress' },
  },
  destination: { kind: 'World', address: '198.51.100.7' },
};

test('a line says who, whom, and why', () => {
  expect(flowLine(FLOW, plain)).toBe(
    '10:00:01.500 Forwarded Egress TCP  shop/client ([fd00::5]:40000) > Service shop/web ([fd00:96::10]:80), ' +
      'backend ops/… ([fd00:2::7]:8080)  net/kubernetes.ilb.node-a',
  );
  const { backend: _, ...drop } = DROP;
  expect(flowLine(drop, plain)).toBe(
    '10:00:01.500 Dropped Egress TCP  shop/client ([fd00::5]:40000) > World (198.51.100.7)  ' +
      'DroppedByRule: default deny of NetworkPolicy shop/deny  net/kubernetes.ilb.node-a',
  );
});

test.each([
  [{}, true],
  [{ namespace: 'ops' }, true],
  [{ namespace: 'other' }, false],
  [{ pod: 'shop/client' }, true],
  [{ pod: 'shop/web' }, false], // a Service
  [{ address: 'fd00:2::7' }, true],
  [{ address: '10.0.0.1' }, false],
  [{ cube: 'kubernetes.ilb.node-a' }, true],
  [{ cube: 'net/kubernetes.ilb.node-a', namespace: 'shop' }, true],
  [{ cube: 'entry' }, false],
])('%j chooses', (options, wanted) => {
  expect(isWanted(FLOW, options)).toBe(wanted);
});
