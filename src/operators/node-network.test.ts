// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import type { Condition } from '../api/generated/types.ts';
import { nodeNetwork } from './node-network.ts';
import type { MemberView } from './views.ts';

const programmed = (status: Condition['status'], message = 'why'): Condition[] => [
  {
    type: 'Programmed',
    status,
    reason: 'Programmed',
    message,
    observedGeneration: 1,
    lastTransitionTime: '',
  } as Condition,
];

const member = (kind: MemberView['kind'], name: string, rest: Partial<MemberView> = {}): MemberView => ({
  kind,
  key: `ns/${name}`,
  namespace: 'ns',
  name,
  uid: name,
  node: 'a',
  chain: 'ns/kubernetes',
  digest: '',
  hash: '',
  generation: 1,
  conditions: programmed('True'),
  servesPods: false,
  ...rest,
});

const pods = (rest: Partial<MemberView> = {}) => member('CubeLink', 'pods', { servesPods: true, ...rest });
const good = {
  status: 'False',
  reason: 'ChainProgrammed',
  message: 'The kernel holds the chain of CubeLink ns/pods',
} as const;

describe('the network of a node', () => {
  test('is there when all members of the chain that leads to the pods are in the kernel', () => {
    expect(nodeNetwork([member('Cube', 'ilb'), pods()], undefined)).toEqual(good);
    expect(nodeNetwork([member('Cube', 'ilb'), pods()], good)).toBeUndefined();
  });

  test('is not there yet while one is missing, and the message names it', () => {
    const missing = member('Cube', 'ilb', { conditions: programmed('False', 'the verifier refused it') });
    expect(nodeNetwork([missing, pods()], undefined)).toEqual({
      status: 'True',
      reason: 'ChainNotProgrammed',
      message: 'Cube ns/ilb is not programmed: the verifier refused it',
    });
    expect(nodeNetwork([member('Cube', 'new', { conditions: [] }), pods()], undefined)?.message).toBe(
      'Cube ns/new is not programmed: waiting for the agent of the node',
    );
  });

  test('the order in which members came makes no difference', () => {
    const members = ['b', 'a', 'c'].map((name) => member('Cube', name, { conditions: [] }));
    const said = nodeNetwork([...members, pods()], undefined);
    expect(said?.message).toContain('Cube ns/a is not programmed');
    expect(nodeNetwork([pods(), ...members.reverse()], undefined)).toEqual(said);
  });

  test('members of other chains do not count', () => {
    const other = member('Cube', 'other', { chain: 'ns/other', conditions: [] });
    expect(nodeNetwork([other, pods()], undefined)).toEqual(good);
  });

  test.each([['False'], ['Unknown']] as const)(
    'once there, it stays while a revision is under way or an agent is away: Programmed %s',
    (status) => {
      expect(nodeNetwork([pods({ conditions: programmed(status) })], good)).toBeUndefined();
    },
  );

  test('goes with the chain; what another network says of its nodes stays', () => {
    expect(nodeNetwork([], good)).toMatchObject({ status: 'True', reason: 'NoChain' });
    expect(nodeNetwork([], undefined)).toBeUndefined();
    const foreign = { status: 'True', reason: 'NoRouteCreated', message: 'by a cloud' };
    expect(nodeNetwork([], foreign)).toBeUndefined();
    expect(nodeNetwork([pods()], foreign)).toEqual(good);
  });
});
