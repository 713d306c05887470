// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from '@jest/globals';
import type { Condition, ServiceChain } from '../api/generated/types.ts';
import { validate } from '../api/validate.ts';
import { chainStatus, type MemberState, type NodeState } from './chain-status.ts';
import { revisionOf } from './service-chain.ts';

const NOW = new Date('2026-01-02T03:04:05Z');

function chain(spec: object = {}, status?: ServiceChain['status']): ServiceChain {
  const validation = validate({
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'ServiceChain',
    metadata: { name: 'c', namespace: 'n', generation: 3 },
    spec: {
      cubes: [{ name: 'r', type: 'Router', router: {} }],
      links: [{ name: 'l', endpoints: [{ type: 'Pods' }, { type: 'Cube', cube: { name: 'r', port: 'p' } }] }],
      ...spec,
    },
  });
  if (!validation.ok) throw new Error(validation.message);
  const object = validation.object as ServiceChain;
  return status === undefined ? object : { ...object, status };
}

const REVISION = revisionOf(chain());

function member(
  overrides: Record<string, [Condition['status'], string]> = {},
  rest: Partial<MemberState> = {},
): MemberState {
  const all = {
    Accepted: ['True', 'Accepted'],
    ResolvedRefs: ['True', 'ResolvedRefs'],
    Programmed: ['True', 'Programmed'],
    Ready: ['True', 'Ready'],
    ...overrides,
  } as Record<string, [Condition['status'], string]>;
  const conditions = Object.entries(all).map(([type, [status, reason]]) => ({
    type,
    status,
    reason,
    message: `${type} says ${reason}`,
    lastTransitionTime: '2026-01-01T00:00:00Z',
    observedGeneration: 1,
  }));
  return { object: 'Cube n/c.r.a', current: true, generation: 1, conditions, ...rest };
}

const node = (name: string, members: MemberState[], rest: Partial<NodeState> = {}): NodeState => ({
  node: name,
  revision: REVISION,
  members,
  ...rest,
});

/** Conditions in short: `Ready=False/NodesNotReady`. */
function short(
  of: ServiceChain,
  nodes: NodeState[],
): { counts: string; conditions: string[]; messages: string } {
  const status = chainStatus(of, nodes, NOW);
  return {
    counts: `${status.desiredNodes} ${status.updatedNodes} ${status.readyNodes}`,
    conditions: status.conditions.map(({ type, status: value, reason }) => `${type}=${value}/${reason}`),
    messages: status.conditions.map(({ message }) => message).join('\n'),
  };
}

describe('status of a ServiceChain', () => {
  it('says that policies are not enforced somewhere, as long as packets pass everywhere', () => {
    const audited = node('a', [member({ Ready: ['True', 'PolicyAudit'] })]);
    const status = chainStatus(chain(), [node('b', [member()]), audited], NOW);
    expect(status.conditions?.find(({ type }) => type === 'Ready')).toMatchObject({
      status: 'True',
      reason: 'PolicyAudit',
      message: 'Ready says PolicyAudit',
    });
    const down = node('c', [member({ Ready: ['False', 'PortDown'] })]);
    const partly = chainStatus(chain(), [audited, down], NOW);
    expect(partly.conditions?.find(({ type }) => type === 'Ready')?.reason).toBe('NodesNotReady');
  });

  it('is ready when every member is ready on every node', () => {
    expect(short(chain(), [node('a', [member()]), node('b', [member()])])).toMatchObject({
      counts: '2 2 2',
      conditions: [
        'Accepted=True/Accepted',
        'ResolvedRefs=True/ResolvedRefs',
        'Programmed=True/Programmed',
        'Ready=True/Ready',
      ],
    });
  });

  it('is on its way while a node waits for its agent', () => {
    const waiting = member({ Programmed: ['Unknown', 'Pending'], Ready: ['Unknown', 'Pending'] });
    expect(short(chain(), [node('a', [member()]), node('b', [waiting])])).toMatchObject({
      counts: '2 2 1',
      conditions: [
        'Accepted=True/Accepted',
        'ResolvedRefs=True/ResolvedRefs',
        'Programmed=Unknown/Pending',
        'Ready=False/NodesNotReady',
        'Reconciling=True/Progressing',
      ],
    });
  });

  it('rolls out while a node has an older revision, a stale member, or a word about an older generation', () => {
    const old = node('b', [member()], { revision: 'older' });
    expect(short(chain(), [node('a', [member()]), old]).counts).toBe('2 1 1');
    const stale = node('b', [member({}, { current: false })]);
    expect(short(chain(), [node('a', [member()]), stale])).toMatchObject({ counts: '2 1 1' });
    const early = node('b', [member({}, { generation: 2 })]);
    expect(short(chain(), [node('a', [member()]), early]).counts).toBe('2 2 1');
    expect(short(chain(), [old]).conditions).toContain('Reconciling=True/RollingOut');
  });

  it('names the first object that is wrong, its node and what it says', () => {
    const wrong = member({
      ResolvedRefs: ['False', 'InterfaceNotFound'],
      Programmed: ['False', 'RefsNotResolved'],
      Ready: ['False', 'RefsNotResolved'],
    });
    const { conditions, messages } = short(chain(), [node('a', [member()]), node('b', [wrong])]);
    expect(conditions.slice(1, 4)).toEqual([
      'ResolvedRefs=False/InterfaceNotFound',
      'Programmed=False/RefsNotResolved',
      'Ready=False/NodesNotReady',
    ]);
    expect(messages).toContain('Cube n/c.r.a on node b: ResolvedRefs says InterfaceNotFound');
  });

  it('passes on that an agent is unreachable', () => {
    const lost = member({
      Programmed: ['Unknown', 'AgentUnreachable'],
      Ready: ['Unknown', 'AgentUnreachable'],
    });
    expect(short(chain(), [node('a', [lost])]).conditions).toContain('Programmed=Unknown/AgentUnreachable');
  });

  it('is stalled when it is refused, or cannot be stamped on a node', () => {
    expect(
      short(chain({ target: { type: 'Pods' } }), [node('a', [member()], { revision: 'older' })]).conditions,
    ).toEqual([
      'Accepted=False/NotSupported',
      'ResolvedRefs=Unknown/Pending',
      'Programmed=Unknown/Pending',
      'Ready=False/NotAccepted',
      'Stalled=True/NotAccepted',
    ]);
    const problem = { reason: 'UnknownVariable', message: 'spec.cubes[r]: on node a: no IPv6' };
    const { conditions, messages } = short(chain(), [node('a', [], { revision: undefined, problem })]);
    expect(conditions).toContain('Accepted=False/UnknownVariable');
    expect(messages).toContain('on node a: no IPv6');
  });

  it('says that the target selects no node', () => {
    expect(short(chain(), [])).toMatchObject({
      counts: '0 0 0',
      conditions: expect.arrayContaining(['Ready=False/NoNodes']),
    });
  });

  it('keeps times of conditions that stay, and is the same for the same facts', () => {
    const first = chainStatus(chain(), [node('a', [member()])], NOW);
    const again = chainStatus(chain({}, first), [node('a', [member()])], new Date('2027-01-01T00:00:00Z'));
    expect(again).toEqual(first);
  });
});
