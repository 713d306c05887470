// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { Forwarder, ForwarderRule } from '../../api/generated/types.ts';
import { desired } from './desired.ts';
import { ForwarderImage } from './image.ts';
import { forwarder } from './type.ts';

const DROP = { type: 'Drop' } as const;
const to = (port: string) => ({ type: 'Output', output: { port } }) as const;

function cube(rules: Partial<ForwarderRule>[], spec: Partial<Forwarder> = {}) {
  return {
    namespace: 'net',
    name: 'policy',
    uid: 'u',
    spec: {
      rules: rules.map((rule): ForwarderRule => ({ priority: 1000, action: DROP, ...rule })),
      defaultAction: DROP,
      ...spec,
    },
    ports: ['a', 'b'].map((name, id) => ({ name, id, addresses: [] })),
  };
}

const problems = (...given: Parameters<typeof cube>) =>
  forwarder.check(cube(...given)).map(({ reason, field }) => `${reason} ${field}`);

test('ports that are not there, and rules that no packet matches, are refused', () => {
  expect(problems([{ inPorts: ['a', 'x'] }, { action: to('y') }], { defaultAction: to('z') })).toEqual([
    'UnknownPort spec.forwarder.rules[0].inPorts[1]',
    'UnknownPort spec.forwarder.rules[1].action.output.port',
    'UnknownPort spec.forwarder.defaultAction.output.port',
  ]);
  expect(problems([{ sources: ['10.0.0.0/8'], destinations: ['::/0'] }])).toEqual([
    'Invalid spec.forwarder.rules[0]',
  ]);
});

test('more combinations than fit are refused', () => {
  const rule = {
    sources: ['10.0.0.0/8', '11.0.0.0/8', '12.0.0.0/8', '13.0.0.0/8'],
    destinations: ['20.0.0.0/8', '21.0.0.0/8', '22.0.0.0/8', '23.0.0.0/8'],
  };
  expect(problems(Array.from({ length: 32 }, () => rule))).toEqual([]);
  expect(problems(Array.from({ length: 33 }, () => rule))).toEqual(['Invalid spec.forwarder.rules']);
});

test('rows stand in the order of trial and remember their rule', () => {
  const { rows, settings } = desired(
    cube([
      { priority: 5, protocols: ['TCP', 'UDP'], action: to('b') },
      { priority: 4, inPorts: ['b'] },
      { priority: 5, action: { type: 'Punt' } },
    ]),
  );
  expect(rows.map(({ rule, action, port }) => [rule, action, port])).toEqual([
    [1, 2, 0],
    [0, 1, 1],
    [0, 1, 1],
    [2, 3, 0],
  ]);
  expect(rows[0]?.match.ports).toBe(2n);
  expect(settings).toEqual({ rows: 4, defaultAction: 2, defaultPort: 0 });
});

test('an agent that starts again finds nothing to do, and names rules for people', () => {
  const input = cube([{ name: 'web', protocols: ['TCP'] }, {}]);
  const first = new ForwarderImage(input);
  const { writes } = first.take();
  expect(writes).toMatchObject([{ map: 'rules', count: 2 }]);
  const again = new ForwarderImage(input);
  for (const { map, count, keys, values } of writes) again.adopt(map, count, keys, values);
  expect(again.take().writes).toHaveLength(0);
  expect([0n, 1n, 2n].map((id) => again.nameObject('rule', id))).toEqual([
    'rule web',
    'rule rules[1]',
    undefined,
  ]);
});
