// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Identity } from '../api/generated/types.ts';
import { PodIdentities } from './pod-identities.ts';
import type { PodRecord } from './pod-record.ts';
import { pack, TableStore, unpack } from './tables.ts';

const SYSTEM = 'cubeplane-system';

function podOf(number: number, app: string): PodRecord {
  const name = `pod-${number}`;
  return {
    namespace: 'shop',
    name,
    interface: `cp${number}`,
    mac: '02:00:00:00:00:01',
    addresses: [`10.244.1.${number}`, `fd00:244:0:1::${number}`],
    about: {
      pod: {
        metadata: { namespace: 'shop', name, labels: { app, batch: String(number) } },
        spec: { containers: [{ ports: [{ name: 'web', protocol: 'TCP', containerPort: 8080 }] }] },
      },
      namespace: { metadata: { name: 'shop', labels: { team: 'a', env: 'test' } } },
    },
  };
}

/** A store and the agent's part, as the agent's rounds use them. */
class Node {
  readonly store = new TableStore();
  readonly identities = new PodIdentities(this.store);

  round(): void {
    this.identities.follow(this.store.take());
    this.store.take();
  }

  policy(name: string, label: string | undefined): void {
    if (label === undefined) this.store.delete(`${SYSTEM}/${name}`);
    else
      this.#set(name, {
        type: 'Policy',
        policies: [
          {
            namespace: 'shop',
            name,
            podSelector: { matchLabels: { [label]: 'x' } },
            types: ['Ingress'],
            ingress: [
              {
                peers: [{ namespaceSelector: { matchLabels: { team: 'a' } } }],
                ports: [{ protocol: 'TCP', name: 'web' }],
              },
            ],
          },
        ],
      });
  }

  written(name: string, addresses: readonly string[] | undefined): void {
    if (addresses === undefined) this.store.delete(`${SYSTEM}/${name}`);
    else this.#set(name, { type: 'Identity', identities: [{ id: 7, namespace: 'shop', addresses }] });
  }

  #set(name: string, spec: object): void {
    this.store.set(
      pack({ kind: 'CubeTable', metadata: { namespace: SYSTEM, name, uid: 'u', generation: 1 }, spec }),
    );
  }

  /** Rows of this agent that are in force, by table. */
  get own(): Record<string, Identity> {
    const own = [...this.store.applied.values()].filter(({ isOwn }) => isOwn);
    return Object.fromEntries(own.map((table) => [table.key, unpack(table)[0] as Identity]));
  }
}

test('a pod is what policies look at, from its start until the operator has both of its addresses', () => {
  const node = new Node();
  const pod = podOf(5, 'web');
  node.identities.add(pod);
  node.round();
  expect(node.own).toEqual({}); // without a policy nobody looks

  node.policy('p', 'app');
  node.round();
  expect(node.own).toEqual({
    'pod shop/pod-5': {
      id: expect.any(Number),
      namespace: 'shop',
      labels: { app: 'web' },
      namespaceLabels: { team: 'a' },
      ports: [{ name: 'web', protocol: 'TCP', port: 8080 }],
      addresses: pod.addresses,
    },
  });

  node.policy('q', 'batch');
  node.round();
  expect(node.own['pod shop/pod-5']?.labels).toEqual({ app: 'web', batch: '5' });

  node.written('i', [pod.addresses[0] as string]);
  node.round();
  expect(Object.keys(node.own)).toEqual(['pod shop/pod-5']);
  node.written('i', pod.addresses);
  node.round();
  expect(node.own).toEqual({});
});

test('an address that tables still give to a pod that is gone makes nobody believe that the next one is known', () => {
  const node = new Node();
  const [before, now] = [podOf(5, 'web'), { ...podOf(5, 'db'), name: 'next' }];
  node.policy('p', 'app');
  node.written('i', before.addresses);
  node.round();
  expect(node.identities.addresses()).toEqual(new Set(before.addresses));
  node.identities.add(now);
  node.round();
  expect(node.own['pod shop/next']?.labels).toEqual({ app: 'db' });
});

test('pods without a Pod of the API server have no identity', () => {
  const node = new Node();
  const { about: _, ...record } = podOf(5, 'web');
  node.policy('p', 'app');
  node.identities.add(record);
  node.round();
  expect(node.own).toEqual({});
});

test('whatever happens: where there is a policy, each pod is in a table that is in force', () => {
  const action = fc.record({
    what: fc.constantFrom('plug', 'unplug', 'policy', 'no policy', 'written', 'taken out', 'restart'),
    pod: fc.integer({ min: 1, max: 4 }),
    name: fc.constantFrom('p', 'q'),
    label: fc.constantFrom('app', 'batch', 'other'),
  });
  fc.assert(
    fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
      let node = new Node();
      const plugged = new Map<number, PodRecord>();
      const tables = new Map<string, (to: Node) => void>();
      const put = (key: string, set: (to: Node) => void) => {
        tables.set(key, set);
        set(node);
      };
      const isWritten = new Set<number>();
      for (const { what, pod, name, label } of actions) {
        const record = podOf(pod, 'web');
        if (what === 'plug') {
          plugged.set(pod, record);
          isWritten.delete(pod);
          put(`i${pod}`, (to) => to.written(`i${pod}`, undefined)); // ADD chooses no address that is written still
          node.round();
          node.identities.add(record);
        }
        if (what === 'unplug') {
          plugged.delete(pod);
          node.identities.remove(record);
        }
        if (what === 'policy') put(name, (to) => to.policy(name, label));
        if (what === 'no policy') put(name, (to) => to.policy(name, undefined));
        if (what === 'written' && plugged.has(pod)) {
          isWritten.add(pod);
          put(`i${pod}`, (to) => to.written(`i${pod}`, record.addresses));
        }
        if (what === 'taken out') {
          isWritten.delete(pod);
          put(`i${pod}`, (to) => to.written(`i${pod}`, undefined));
          // The operator has known it: what it says is right from then on.
          node.identities.remove(record);
          plugged.delete(pod);
        }
        if (what === 'restart') {
          node = new Node();
          for (const one of plugged.values()) node.identities.add(one);
          for (const set of tables.values()) set(node);
        }
        node.round();
        const hasPolicy = [...node.store.applied.values()].some(({ type }) => type === 'Policy');
        const expected = [...plugged.keys()].filter((key) => hasPolicy && !isWritten.has(key));
        expect(Object.keys(node.own).sort()).toEqual(expected.map((key) => `pod shop/pod-${key}`).sort());
      }
    }),
    { numRuns: 200 },
  );
});

test('a pod from before the node started anew is what tables say of its addresses; what was recorded fills the gaps', () => {
  const node = new Node();
  node.policy('p', 'app');
  const pod = podOf(5, 'web');
  const again = pod.about && { ...pod, about: { ...pod.about, isRecorded: true } };
  if (again === undefined) throw new Error('nothing is known of the pod');
  node.written('ids', pod.addresses);
  node.round();
  node.identities.add(again);
  node.round();
  expect(node.own).toEqual({});
  // It was given another address than tables know: of that one nothing newer is known.
  const [first = ''] = pod.addresses;
  node.identities.add({ ...again, addresses: [first, 'fd00::99'] });
  node.round();
  expect(node.own).toMatchObject({ 'pod shop/pod-5': { labels: { app: 'web' }, addresses: ['fd00::99'] } });
  node.written('more', ['fd00::99']);
  node.round();
  expect(node.own).toEqual({});
});
