// SPDX-License-Identifier: Apache-2.0
/** How long changes take with many pods and policies: printed, not judged. `CUBEPLANE_PODS=1000,5000` says how many. */
import { expect, test } from '@jest/globals';
import type { Firewall, Identity, Policy } from '../../api/generated/types.ts';
import { validate } from '../../api/validate.ts';
import { FirewallImage } from './image.ts';

const POLICIES = 100;
const PODS_A_NAMESPACE = 100;
/** Pods that are alike, as those of a Deployment. */
const PODS_A_ROW = 5;
const COUNTS = (process.env.CUBEPLANE_PODS ?? '1000').split(',').map(Number);

function pods(count: number): Identity[] {
  const address = (i: number) => [
    `10.${244 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`,
    `fd00:244::${i.toString(16)}`,
  ];
  return Array.from({ length: count / PODS_A_ROW }, (_, row) => {
    const namespace = Math.floor((row * PODS_A_ROW) / PODS_A_NAMESPACE);
    return {
      id: row + 1,
      namespace: `ns-${namespace}`,
      labels: { app: `app-${row % 20}` },
      namespaceLabels: { team: `team-${namespace % 10}` },
      ports: [{ name: 'http', protocol: 'TCP', port: 8000 + (row % 3) }],
      addresses: Array.from({ length: PODS_A_ROW }, (_, i) => address(256 + row * PODS_A_ROW + i)).flat(),
    };
  });
}

function policies(count: number): Policy[] {
  const namespaces = Math.max(1, count / PODS_A_NAMESPACE);
  return Array.from({ length: POLICIES }, (_, i): Policy => {
    const namespace = `ns-${i % namespaces}`;
    const kind = Math.floor(i / namespaces);
    if (kind === 0)
      return {
        namespace,
        name: `deny-${i}`,
        types: ['Ingress', 'Egress'],
        egress: [{ ports: [{ protocol: 'UDP', port: 53 }] }],
      };
    return {
      namespace,
      name: `app-${i}`,
      podSelector: { matchLabels: { app: `app-${i % 20}` } },
      types: ['Ingress'],
      ingress: [
        {
          peers: [{ podSelector: {} }, { namespaceSelector: { matchLabels: { team: `team-${i % 10}` } } }],
          ports: [{ protocol: 'TCP', name: 'http' }],
        },
        { peers: [{ cidr: '10.0.0.0/8', except: ['10.9.0.0/16'] }], ports: [{ protocol: 'TCP', port: 443 }] },
      ],
    };
  });
}

test.each(COUNTS)('%i pods', (count) => {
  const checked = validate({
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'Cube',
    metadata: { name: 'fw', namespace: 'n' },
    spec: { nodeName: 'a', type: 'Firewall', firewall: { maxRules: 1024 } },
  });
  if (!checked.ok) throw new Error(checked.message);
  const { firewall } = checked.object.spec as unknown as { firewall: Firewall };
  const image = new FirewallImage(
    { namespace: 'n', name: 'fw', uid: 'u', ports: [], spec: firewall },
    { addresses: ['172.18.0.2'] },
  );
  const timed = (what: string, work: () => void) => {
    const from = performance.now();
    work();
    process.stdout.write(
      `${count} pods, ${POLICIES} policies: ${what} ${(performance.now() - from).toFixed(0)} ms\n`,
    );
  };
  const rows = pods(count);
  const tables = Array.from({ length: Math.ceil(rows.length / 50) }, (_, i) =>
    rows.slice(i * 50, (i + 1) * 50),
  );
  image.setTable('n/policies', policies(count), undefined, 'Policy');
  for (const [i, table] of tables.entries()) image.setTable(`n/t-${i}`, table, undefined, 'Identity');
  let written = 0;
  const take = () => {
    const { writes } = image.take();
    written = writes.find(({ map }) => map === 'addresses')?.count ?? 0;
  };
  timed('all at first', () => {
    image.settle();
    take();
  });
  expect(image.problems()).toEqual([]);
  expect(written).toBeGreaterThan(count);
  process.stdout.write(`${written} rows of addresses, ${image.usage().rules?.used} rules\n`);
  for (let i = 0; i < 3; i++) {
    const [first, ...rest] = tables[0] as [Identity, ...Identity[]];
    const changed = { ...first, addresses: [...(first.addresses ?? []), `10.250.0.${i + 1}`] };
    timed('one pod more', () => {
      image.setTable('n/t-0', [changed, ...rest], undefined, 'Identity');
      take();
    });
  }
});
