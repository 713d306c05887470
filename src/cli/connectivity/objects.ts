// SPDX-License-Identifier: Apache-2.0
/** The objects that the test creates. Pure. */
import type { KubeObject } from '../../k8s/resource.ts';
import { QUESTIONS, type Question } from './probe.ts';
import { type Addresses, names, type Phase, SERVER_PORT, SERVICE_PORT, type StageNode } from './stage.ts';

/** On everything; a namespace without it is somebody else's. */
export const OWN_LABEL = 'app.kubernetes.io/managed-by';
export const OWN_VALUE = 'cubeplane-connectivity-test';
const ROLE = 'cubeplane.io/connectivity-role';
const NAME = 'cubeplane.io/connectivity-name';
const FRIEND = 'cubeplane.io/connectivity-friend';

/** The container of a client whose termination message tells what came of its probes. */
export const PROBE_CONTAINER = 'probe';

export interface Frame {
  readonly namespace: string;
  readonly image: string;
  readonly nodes: readonly StageNode[];
  readonly hostPort: number;
}

interface Container {
  readonly name: string;
  readonly command: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
}

export function namespaceObject(name: string): KubeObject {
  return {
    metadata: {
      name,
      labels: {
        [OWN_LABEL]: OWN_VALUE,
        // clients and servers in the network of the node are what it forbids otherwise
        'pod-security.kubernetes.io/enforce': 'privileged',
      },
    },
  };
}

function pod(
  { namespace, image }: Frame,
  name: string,
  nodeName: string,
  labels: Readonly<Record<string, string>>,
  containers: readonly Container[],
  more: object,
): KubeObject {
  return {
    metadata: { name, namespace, labels: { [OWN_LABEL]: OWN_VALUE, [NAME]: name, ...labels } },
    spec: {
      nodeName,
      terminationGracePeriodSeconds: 1,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      tolerations: [{ operator: 'Exists' }],
      containers: containers.map((one) => ({
        ...one,
        image,
        imagePullPolicy: 'IfNotPresent',
        resources: { requests: { cpu: '10m', memory: '64Mi' } },
      })),
      ...more,
    },
  };
}

const server = (name: string, port: number, addresses: Addresses = {}): Container => ({
  name: 'server',
  command: [
    ...['cubeplane', 'connectivity', 'server', '--name', name, '--port', String(port)],
    ...Object.values(addresses).flatMap((address) => ['--address', address]),
  ],
});

/** Servers: in pods, in pods under the policies, and in the network of each node. */
export function serverPods(frame: Frame): KubeObject[] {
  return frame.nodes.flatMap((node, index) => {
    const inPod = (name: string, role: string) =>
      pod(frame, name, node.name, { [ROLE]: role }, [server(name, SERVER_PORT)], {});
    const host = names.host(index + 1);
    return [
      inPod(names.server(index + 1), 'server'),
      inPod(names.guarded(index + 1), 'guarded'),
      // a node has several addresses: answers by UDP come from the one that is bound
      pod(frame, host, node.name, { [ROLE]: 'host' }, [server(host, frame.hostPort, node.addresses)], {
        hostNetwork: true,
      }),
    ];
  });
}

export interface ClientPod {
  readonly name: string;
  readonly node: string;
  readonly host: boolean;
  readonly friend: boolean;
}

/** The clients of a phase. */
export function clientsOf(phase: Phase, nodes: readonly StageNode[]): ClientPod[] {
  if (phase === 'paths')
    return nodes.flatMap(({ name: node }, index) => [
      { name: names.client(index + 1), node, host: false, friend: false },
      { name: names.hostClient(index + 1), node, host: true, friend: false },
    ]);
  const node = nodes[0]?.name ?? '';
  return [
    { name: names.friend(phase), node, host: false, friend: true },
    { name: names.stranger(phase), node, host: false, friend: false },
  ];
}

/** A client ends when it has tried all; a server beside it keeps its pod, so that its packets can be traced. */
export function clientPod(frame: Frame, client: ClientPod, questions: readonly Question[]): KubeObject {
  const { name, node, host, friend } = client;
  const probe: Container = {
    name: PROBE_CONTAINER,
    command: ['cubeplane', 'connectivity', 'client'],
    env: [{ name: QUESTIONS, value: JSON.stringify(questions) }],
  };
  const labels = { [ROLE]: 'client', ...(friend ? { [FRIEND]: 'yes' } : {}) };
  const containers = host ? [probe] : [server(name, SERVER_PORT), probe];
  return pod(frame, name, node, labels, containers, {
    restartPolicy: 'Never',
    ...(host ? { hostNetwork: true } : {}),
  });
}

function service(
  namespace: string,
  name: string,
  selector: Readonly<Record<string, string>>,
  more: object,
): KubeObject {
  return {
    metadata: { name, namespace, labels: { [OWN_LABEL]: OWN_VALUE } },
    spec: {
      selector,
      ipFamilyPolicy: 'PreferDualStack',
      ports: ['TCP', 'UDP'].map((protocol) => ({
        name: protocol.toLowerCase(),
        protocol,
        port: SERVICE_PORT,
        targetPort: SERVER_PORT,
      })),
      ...more,
    },
  };
}

export function serviceObjects({ namespace, nodes }: Frame): KubeObject[] {
  const servers = { [ROLE]: 'server' };
  const ofPod = (name: string) => service(namespace, name, { [NAME]: name }, {});
  return [
    service(namespace, names.all, servers, { type: 'NodePort' }),
    service(namespace, names.affine, servers, { sessionAffinity: 'ClientIP' }),
    service(namespace, names.headless, servers, { clusterIP: 'None' }),
    service(
      namespace,
      names.local,
      { [NAME]: names.server(1) },
      { type: 'NodePort', externalTrafficPolicy: 'Local' },
    ),
    ...nodes.flatMap((_, index) => [ofPod(names.server(index + 1)), ofPod(names.client(index + 1))]),
  ];
}

/** Policies of a phase. Each phase has those named here and no others. */
export function policyObjects(namespace: string, phase: Phase): KubeObject[] {
  const policy = (name: string, ingress: readonly object[]): KubeObject => ({
    metadata: { name, namespace, labels: { [OWN_LABEL]: OWN_VALUE } },
    spec: { podSelector: { matchLabels: { [ROLE]: 'guarded' } }, policyTypes: ['Ingress'], ingress },
  });
  const deny = policy('deny', []);
  if (phase === 'deny') return [deny];
  if (phase !== 'allow') return [];
  return [deny, policy('allow', [{ from: [{ podSelector: { matchLabels: { [FRIEND]: 'yes' } } }] }])];
}
