// SPDX-License-Identifier: Apache-2.0
/** Servers and clients without pause in pods of a real cluster: the harness's own, by the Node of the image of agent and operator. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { ROOT } from '../../harness/checkout.ts';
import { namespaceOf } from '../../harness/netns.ts';
import {
  type ClientReport,
  clientArguments,
  type Load,
  type LoadOptions,
  startLoad,
} from '../../harness/traffic.ts';
import { until } from '../../harness/until.ts';
import { type Admin, AGENTS } from './admin.ts';

const TOOLS = join(ROOT, 'test/harness/tools');
/** Of servers, and of their Services. */
export const TARGET = 8080;
const PORT = 80;
/** A cluster on few processors answers late at times: only what nobody answers is lost. */
const LATE_MS = 10_000;
/** Label of pods of clients. */
const CLIENT = 'load';
/** Programs of the harness, as files at /tools. */
const MAP = 'tools';

/** They get their share of the processors also while programs are loaded: a late answer is taken for a lost one. */
const resources = { requests: { cpu: '100m' } };
const volumes = [{ name: 'tools', configMap: { name: MAP } }];
const volumeMounts = [{ name: 'tools', mountPath: '/tools' }];

/** Puts the programs into the cluster; the image that runs them. */
async function prepare(admin: Admin): Promise<string> {
  const data = Object.fromEntries(
    ['client.ts', 'server.ts'].map((name) => [name, readFileSync(join(TOOLS, name), 'utf8')]),
  );
  await admin.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: MAP }, data });
  return await admin.system('get', AGENTS, '-o', 'jsonpath={.spec.template.spec.containers[0].image}');
}

export interface Server {
  readonly name: string;
  readonly replicas: number;
  /** All of them there. */
  readonly node?: string;
}

/**
 * Deployments of servers, each with a Service of both families and a port of the nodes, whose pods end as they should: while `use` runs.
 * Pods of clients go with them, where a failure has left any.
 */
export async function withServers(
  admin: Admin,
  servers: readonly Server[],
  use: () => Promise<void>,
): Promise<void> {
  const image = await prepare(admin);
  await admin.apply(...servers.flatMap((one) => serverObjects(one, image)));
  try {
    for (const { name } of servers)
      await admin.kubectl(['rollout', 'status', `deployment/${name}`, '--timeout=120s']);
    await use();
  } finally {
    const names = servers.flatMap(({ name }) => [`deployment/${name}`, `service/${name}`]);
    await admin.kubectl(['delete', ...names]);
    await admin.kubectl(['delete', 'pods', '-l', `app=${CLIENT}`]);
  }
}

function serverObjects({ name, replicas, node }: Server, image: string): object[] {
  const labels = { app: name };
  const spread = {
    maxSkew: 1,
    topologyKey: 'kubernetes.io/hostname',
    whenUnsatisfiable: 'ScheduleAnyway',
    labelSelector: { matchLabels: labels },
  };
  const container = {
    name: 'server',
    image,
    command: ['node', '/tools/server.ts', name, String(TARGET)],
    volumeMounts,
    resources: { requests: { cpu: '200m' } },
    readinessProbe: { tcpSocket: { port: TARGET }, periodSeconds: 1 },
    // Who is told late that it goes is still answered.
    lifecycle: { preStop: { sleep: { seconds: 4 } } },
  };
  const pod = {
    topologySpreadConstraints: [spread],
    terminationGracePeriodSeconds: 8,
    ...(node === undefined ? {} : { nodeSelector: { 'kubernetes.io/hostname': node } }),
    containers: [container],
    volumes,
  };
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name },
      spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: pod } },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name },
      spec: {
        type: 'NodePort',
        ipFamilyPolicy: 'RequireDualStack',
        selector: labels,
        ports: [{ port: PORT, targetPort: TARGET }],
      },
    },
  ];
}

/** Where clients go: the addresses of one thing, by family. */
export interface Target {
  /** A DNS label: the name of its clients. */
  readonly name: string;
  readonly addresses: readonly string[];
  readonly port: number;
  readonly options: LoadOptions;
}

export async function serviceTarget(admin: Admin, service: string, options: LoadOptions): Promise<Target> {
  const path = 'jsonpath={.spec.clusterIPs[*]}';
  const text = await admin.kubectl(['get', 'service', service, '-o', path]);
  return { name: `service-${service}`, addresses: text.split(' '), port: PORT, options };
}

/** The port of a node that leads to a Service. */
export async function nodePortTarget(
  admin: Admin,
  service: string,
  node: string,
  options: LoadOptions,
): Promise<Target> {
  const path = 'jsonpath={.spec.ports[0].nodePort}';
  const port = Number(await admin.kubectl(['get', 'service', service, '-o', path]));
  const wanted = 'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}';
  const addresses = (await admin.kubectl(['get', 'node', node, '-o', wanted])).split(' ');
  return { name: `${service}-at-${node}`, addresses, port, options };
}

const familyOf = (address: string) => (address.includes(':') ? 'ipv6' : 'ipv4');
const clientsOf = (targets: readonly Target[]) =>
  targets.flatMap((target) =>
    target.addresses.map((address) => ({ ...target, name: `${target.name}-${familyOf(address)}`, address })),
  );

/** A pod of clients, a container each. */
export class LoadPod {
  readonly #admin: Admin;
  readonly #name: string;
  readonly #containers: readonly string[];

  constructor(admin: Admin, name: string, containers: readonly string[]) {
    this.#admin = admin;
    this.#name = name;
    this.#containers = containers;
  }

  /** Resolves when all of them send. */
  static async start(admin: Admin, name: string, node: string, targets: readonly Target[]): Promise<LoadPod> {
    const image = await prepare(admin);
    const clients = clientsOf(targets);
    const containers = clients.map(({ name: container, address, port, options }) => ({
      name: container,
      image,
      command: [
        'node',
        '/tools/client.ts',
        ...clientArguments(address, port, { ...options, timeout: LATE_MS }),
      ],
      volumeMounts,
      resources,
    }));
    const spec = {
      nodeName: node,
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 0,
      containers,
      volumes,
    };
    await admin.apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { app: CLIENT } }, spec });
    const load = new LoadPod(
      admin,
      name,
      clients.map(({ name: container }) => container),
    );
    await until(
      `clients of ${name} send`,
      async () =>
        (await Promise.all(load.#containers.map((one) => load.#log(one)))).every((log) => /ready/.test(log)),
      90_000,
    );
    return load;
  }

  /** Ends the clients; what each saw, by the name of its target and its family. */
  async end(): Promise<Map<string, ClientReport>> {
    const reports = await Promise.all(
      this.#containers.map(async (container) => {
        const kill = ['node', '-e', 'process.kill(1)'];
        // It may be taken along by the end of what it ends.
        await this.#admin.kubectl(['exec', this.#name, '-c', container, '--', ...kill], { anyStatus: true });
        const report = await until(`${container} has ended`, async () => {
          const line = (await this.#log(container)).trim().split('\n').at(-1) ?? '';
          return line.startsWith('{') ? (JSON.parse(line) as ClientReport) : undefined;
        });
        return [container, report] as const;
      }),
    );
    await this.#admin.kubectl(['delete', 'pod', this.#name]);
    return new Map(reports);
  }

  async #log(container: string): Promise<string> {
    return await this.#admin.kubectl(['logs', this.#name, '-c', container]);
  }
}

/** Clients on the machine that is outside of the cluster. */
export class LoadOutside {
  readonly #loads: ReadonlyMap<string, Load>;

  constructor(loads: ReadonlyMap<string, Load>) {
    this.#loads = loads;
  }

  static async start(admin: Admin, targets: readonly Target[]): Promise<LoadOutside> {
    const internet = namespaceOf(admin.lab, 'internet');
    const loads = new Map<string, Load>();
    for (const { name, address, port, options } of clientsOf(targets))
      loads.set(name, await startLoad(internet, address, port, { ...options, timeout: LATE_MS }));
    return new LoadOutside(loads);
  }

  async end(): Promise<Map<string, ClientReport>> {
    const reports = new Map<string, ClientReport>();
    for (const [name, load] of this.#loads) reports.set(name, await load.end());
    return reports;
  }
}

/** Clients that met nothing but answers, and not few. Else it is told what the nodes have dropped. */
export async function expectNoFailure(
  admin: Admin,
  nodes: readonly string[],
  reports: ReadonlyMap<string, ClientReport>,
): Promise<void> {
  const failures = [...reports].flatMap(([name, report]) => report.failures.map((one) => ({ name, ...one })));
  const drops: string[] = [];
  if (failures.length > 0) for (const node of nodes) drops.push(node, await admin.cubeplane(node, 'drops'));
  expect({ failures, drops }).toEqual({ failures: [], drops: [] });
  for (const [name, { requests }] of reports) expect([name, requests > 100]).toEqual([name, true]);
}
