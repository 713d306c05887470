// SPDX-License-Identifier: Apache-2.0
/** The paths that are tried, as data. Pure. */
import type { Family } from '../../api/ip.ts';
import type { Expectation, Probe, ProbeKind } from './probe.ts';
import {
  type Addresses,
  addressOf,
  familiesOf,
  names,
  type Phase,
  SERVER_PORT,
  SERVICE_PORT,
  type Stage,
  type StageNode,
} from './stage.ts';
import { MISSING, TESTS, type TestInfo, type TestName } from './tests.ts';

/** Questions of one try where several backends have to answer: one of two is missed with probability 2^-19. */
const MANY = 20;
const SOME = 6;

/** Why a test cannot be done here; undefined where it can. */
export function missingFor(
  { needs }: TestInfo,
  stage: Pick<Stage, 'nodes' | 'hasDns' | 'external'>,
): string | undefined {
  const has = {
    TwoNodes: stage.nodes.length > 1,
    ClusterDNS: stage.hasDns,
    External: stage.external !== undefined,
  };
  return needs === undefined || has[needs] ? undefined : MISSING[needs];
}

/** All probes of a phase whose test is wanted and can be done. */
export function probesOf(stage: Stage, phase: Phase, isWanted: (test: TestName) => boolean): Probe[] {
  const all =
    phase === 'paths' ? stage.nodes.flatMap((_, at) => pathProbes(stage, at)) : policyProbes(stage, phase);
  const possible = new Set<string>(TESTS.filter((test) => !missingFor(test, stage)).map(({ name }) => name));
  return all.filter(({ test }) => possible.has(test) && isWanted(test));
}

interface Target {
  readonly name: string;
  readonly addresses: Addresses | undefined;
  readonly ports: number | { readonly TCP?: number; readonly UDP?: number };
  /** Whose address a trace asks for; the target's own without. */
  readonly traced?: { readonly addresses: Addresses | undefined; readonly port: number };
}

interface From {
  readonly client: string;
  readonly node: StageNode;
  /** In the network of the node. */
  readonly host?: boolean;
}

/** A probe a family and protocol. */
function each(
  stage: Stage,
  test: TestName,
  { client, node, host }: From,
  target: Target,
  expect: Expectation,
  more: { readonly count?: number; readonly kinds?: readonly ProbeKind[] } = {},
): Probe[] {
  return familiesOf(stage).flatMap((family) =>
    (more.kinds ?? (['TCP', 'UDP'] as const)).flatMap((kind): Probe[] => {
      const address = addressOf(target.addresses, family);
      const protocol = kind === 'UDP' ? 'UDP' : 'TCP';
      const port = typeof target.ports === 'number' ? target.ports : target.ports[protocol];
      if (address === undefined || port === undefined) return [];
      const traced = target.traced ?? { addresses: target.addresses, port };
      const source = host ? addressOf(node.gateway, family) : CLIENT_ADDRESS;
      const aim = addressOf(traced.addresses, family);
      const trace =
        aim === undefined || source === undefined
          ? {}
          : {
              trace: {
                node: node.name,
                from: host ? 'host' : `${stage.namespace}/${client}`,
                source,
                address: aim,
                port: traced.port,
              },
            };
      const path = `${client} > ${target.name}`;
      return [{ test, path, client, kind, address, port, family, count: more.count ?? 1, expect, ...trace }];
    }),
  );
}

/** Stands for the address of a pod that is not there yet. */
export const CLIENT_ADDRESS = '';

function pathProbes(stage: Stage, at: number): Probe[] {
  const { nodes, pods, services, hostPort } = stage;
  const [own, other] = [at + 1, at === 0 ? 2 : 1];
  const node = nodes[at] as StageNode;
  const away = nodes.length > 1 ? nodes[other - 1] : undefined;
  const pod: From = { client: names.client(own), node };
  const host: From = { client: names.hostClient(own), node, host: true };
  const servers = nodes.map((_, index) => names.server(index + 1));
  const server = (index: number): Target => {
    const name = names.server(index);
    return { name, addresses: pods[name], ports: SERVER_PORT };
  };
  const service = (name: string, backend?: string): Target => ({
    name: `Service ${name}`,
    addresses: services[name]?.addresses,
    ports: SERVICE_PORT,
    ...(backend === undefined ? {} : { traced: { addresses: pods[backend], port: SERVER_PORT } }),
  });
  const nodePort = (name: string, on: StageNode | undefined, backend?: string): Target => ({
    name: `node port of ${name} at ${on?.name}`,
    addresses: on?.addresses,
    ports: services[name]?.nodePorts ?? {},
    ...(backend === undefined ? {} : { traced: { addresses: pods[backend], port: SERVER_PORT } }),
  });
  const hostServer = (index: number): Target => ({
    name: names.host(index),
    addresses: nodes[index - 1]?.addresses,
    ports: hostPort,
  });
  const by = (...list: string[]): Expectation => ({ type: 'Answered', by: list });
  const seen = (...list: string[]): Expectation => ({ type: 'Answered', by: list, seesClient: true });
  const everyone: Expectation = { type: 'AnsweredByEach', by: servers };
  const tried = (
    test: TestName,
    from: From,
    target: Target,
    expect: Expectation,
    more: { count?: number; kinds?: ProbeKind[] } = {},
  ): Probe[] => each(stage, test, from, target, expect, more);
  const first = names.server(1);
  return [
    ...tried('pod-to-pod-same-node', pod, server(own), seen(names.server(own))),
    ...tried('pod-to-pod-other-node', pod, server(other), seen(names.server(other))),
    ...tried('pod-to-service', pod, service(names.all), { ...everyone, seesClient: true }, { count: MANY }),
    ...tried('pod-to-service-same-node', pod, service(names.server(own)), seen(names.server(own))),
    ...tried('pod-to-service-other-node', pod, service(names.server(other)), seen(names.server(other))),
    ...tried('pod-to-itself-by-service', pod, service(names.client(own)), by(names.client(own))),
    ...tried(
      'service-affinity',
      pod,
      service(names.affine),
      { type: 'AnsweredByOne', by: servers },
      { count: SOME },
    ),
    ...nameProbes(stage, pod),
    ...tried('pod-to-nodeport-own-node', pod, nodePort(names.all, node), by(...servers)),
    ...tried('pod-to-nodeport-other-node', pod, nodePort(names.all, away), by(...servers)),
    ...tried('nodeport-local', pod, nodePort(names.local, nodes[0]), by(first)),
    ...(own === 1
      ? tried('nodeport-local-elsewhere', pod, nodePort(names.local, away), { type: 'Silence' })
      : []),
    ...tried('pod-to-own-node', pod, hostServer(own), by(names.host(own))),
    ...tried('pod-to-other-node', pod, hostServer(other), by(names.host(other))),
    ...tried('node-to-pod-same-node', host, server(own), by(names.server(own))),
    ...tried('node-to-pod-other-node', host, server(other), by(names.server(other))),
    ...tried('node-to-service', host, service(names.all, names.server(other)), everyone, { count: MANY }),
    ...tried('node-to-nodeport', host, nodePort(names.all, node, names.server(other)), by(...servers)),
    ...tried(
      'pod-to-api-server',
      pod,
      { name: 'the API server', addresses: stage.apiServer.addresses, ports: stage.apiServer.port },
      by(),
      { kinds: ['Connect'] },
    ),
    ...worldProbes(stage, pod),
  ];
}

function nameProbes(stage: Stage, { client }: From): Probe[] {
  return familiesOf(stage).map((family) => {
    const servers = stage.nodes.map((_, index) => stage.pods[names.server(index + 1)]);
    const by = servers.flatMap((one) => addressOf(one, family) ?? []);
    const address = `${names.headless}.${stage.namespace}.svc`;
    return {
      test: 'headless-dns',
      path: `${client} > ${address}`,
      client,
      kind: 'Name',
      address,
      port: 0,
      family,
      count: 1,
      expect: { type: 'AnsweredByEach', by },
    };
  });
}

function worldProbes({ external }: Stage, { client }: From): Probe[] {
  if (external === undefined) return [];
  const path = `${client} > ${external}`;
  const expect: Expectation = { type: 'Answered', by: [] };
  return [{ test: 'pod-to-world', path, client, kind: 'Http', address: external, port: 0, count: 1, expect }];
}

function policyProbes(stage: Stage, phase: Exclude<Phase, 'paths'>): Probe[] {
  const node = stage.nodes[0] as StageNode;
  const test = `policy-${phase}` as const;
  return [names.friend(phase), names.stranger(phase)].flatMap((client) =>
    stage.nodes.flatMap((_, index) => {
      const name = names.guarded(index + 1);
      const isLetIn = phase === 'undone' || (phase === 'allow' && client === names.friend(phase));
      const expect: Expectation = isLetIn ? { type: 'Answered', by: [name] } : { type: 'Silence' };
      return each(
        stage,
        test,
        { client, node },
        { name, addresses: stage.pods[name], ports: SERVER_PORT },
        expect,
      );
    }),
  );
}

/** Names of the families that are tried, for people. */
export const familyName = (family: Family | undefined): string =>
  family === undefined ? '' : family === 4 ? 'IPv4' : 'IPv6';
