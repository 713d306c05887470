// SPDX-License-Identifier: Apache-2.0

/** Network policies of a small cluster, of which two let a client reach the pods behind the Services of service-rows.ts. */
import type { Identity, Policy } from '../../src/api/generated/types.ts';
import { FAMILIES } from './connect.ts';
import { backendOf, PODS, TARGET } from './service-rows.ts';

/** Other namespaces, each with a policy of its own. */
const OTHERS = 20;
const PODS_OF_OTHERS = 5;

const label = (app: string) => ({ matchLabels: { app } });
const ports = (port: number) => (['TCP', 'UDP'] as const).map((protocol) => ({ protocol, port }));

function policies(): Policy[] {
  const shop = { namespace: 'shop' };
  return [
    { ...shop, name: 'deny', types: ['Ingress', 'Egress'] },
    {
      ...shop,
      name: 'to-web',
      podSelector: label('client'),
      types: ['Egress'],
      egress: [{ peers: [{ podSelector: label('web') }], ports: ports(TARGET) }],
    },
    {
      ...shop,
      name: 'from-client',
      podSelector: label('web'),
      types: ['Ingress'],
      ingress: [{ peers: [{ podSelector: label('client') }], ports: ports(TARGET) }],
    },
    { ...shop, name: 'dns', types: ['Egress'], egress: [{ ports: ports(53) }] },
    ...Array.from(
      { length: OTHERS },
      (_, n): Policy => ({
        namespace: `other-${n}`,
        name: 'isolated',
        types: ['Ingress', 'Egress'],
        ingress: [{ peers: [{ podSelector: {} }], ports: ports(9000 + n) }],
        egress: [{ peers: [{ cidr: `172.16.${n}.0/24` }, { cidr: `fd00:172:${n}::/48` }] }],
      }),
    ),
  ];
}

function identities(clients: readonly string[]): Identity[] {
  const shop = { namespace: 'shop', namespaceLabels: {} };
  const web = FAMILIES.flatMap((family) => Array.from({ length: PODS }, (_, n) => backendOf(family, n)));
  return [
    { ...shop, id: 1, labels: { app: 'client' }, addresses: [...clients] },
    { ...shop, id: 2, labels: { app: 'web' }, addresses: web },
    ...Array.from(
      { length: OTHERS },
      (_, n): Identity => ({
        id: 3 + n,
        namespace: `other-${n}`,
        namespaceLabels: {},
        labels: { app: 'other' },
        addresses: Array.from({ length: PODS_OF_OTHERS }, (_, pod) => [
          `10.244.3.${1 + n * PODS_OF_OTHERS + pod}`,
          `fd00:244:0:3::${(1 + n * PODS_OF_OTHERS + pod).toString(16)}`,
        ]).flat(),
      }),
    ),
  ];
}

/** Spec and tables of the provider's firewall, with a policy for each pod. */
export function policyFirewall(clients: readonly string[]) {
  return {
    spec: { defaultActions: { ingress: 'Allow', egress: 'Allow' }, handshake: 'Strict' },
    tables: { 'bench/policies': policies(), 'bench/identities': identities(clients) },
    tableTypes: { 'bench/policies': 'Policy', 'bench/identities': 'Identity' },
  };
}
