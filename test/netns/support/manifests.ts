// SPDX-License-Identifier: Apache-2.0
/** The manifest directory of a lab, and the objects that tests put there. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { DualStack, Node, Pod } from '../../harness/topology.ts';

export type Manifest = { kind: string; metadata: { name: string; namespace?: string } } & Record<
  string,
  unknown
>;

const SAMPLE = new URL('../../../samples/service-chain.yaml', import.meta.url).pathname;
const PROVIDER = new URL('../../../config/provider/kubernetes.yaml', import.meta.url).pathname;

/** A directory that agents read; a file changes at once, by rename. */
export class Manifests {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  write(file: string, ...objects: readonly object[]): void {
    this.writeText(file, objects.map((object) => stringify(object)).join('---\n'));
  }

  writeText(file: string, text: string): void {
    const temporary = join(this.directory, `.${file}.tmp`);
    writeFileSync(temporary, text);
    renameSync(temporary, join(this.directory, file));
  }

  remove(file: string): void {
    rmSync(join(this.directory, file));
  }
}

/** The chain of samples/service-chain.yaml, for a test to change. */
// biome-ignore lint/suspicious/noExplicitAny: tests change any field of it
export function sampleChain(): any {
  return parse(readFileSync(SAMPLE, 'utf8'));
}

/** Text of the network of a cluster that is shipped. */
export function providerText(): string {
  return readFileSync(PROVIDER, 'utf8');
}

/** Makes the chain of a test that of the provider. */
// biome-ignore lint/suspicious/noExplicitAny: as above
export function toProvider(chain: any): void {
  chain.spec = parse(providerText()).spec;
}

/** Prefixes of the pods of the `index`-th node, from 0. */
export function podPrefixes(index: number): { ipv4: string; ipv6: string } {
  return { ipv4: `10.244.${index + 1}.`, ipv6: `fd00:244:0:${index + 1}::` };
}

/** Addresses and gateways of pod `number` (2–254) of the `index`-th node: host prefixes, so that all goes by the gateway. */
export function podNetwork(index: number, number: number): { addresses: DualStack; gateways: DualStack } {
  const { ipv4, ipv6 } = podPrefixes(index);
  return {
    addresses: { ipv4: `${ipv4}${number}/32`, ipv6: `${ipv6}${number.toString(16)}/128` },
    gateways: { ipv4: `${ipv4}1`, ipv6: `${ipv6}1` },
  };
}

export function nodeObject(node: Node, index: number): Manifest {
  const { ipv4, ipv6 } = podPrefixes(index);
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: node.name, labels: { 'kubernetes.io/os': 'linux' } } as Manifest['metadata'],
    spec: { podCIDR: `${ipv4}0/24`, podCIDRs: [`${ipv4}0/24`, `${ipv6}/64`] },
    status: {
      addresses: [
        { type: 'InternalIP', address: node.addresses.ipv4 },
        { type: 'InternalIP', address: node.addresses.ipv6 },
      ],
    },
  };
}

export interface ServicePort {
  readonly name: string;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly port: number;
  readonly targetPort: number;
}

export interface ServiceOptions {
  readonly name: string;
  /** Host number of its cluster IPs. */
  readonly number: number;
  readonly ports: readonly ServicePort[];
  readonly backends: readonly Pod[];
  /** Members of the Service's spec beside these. */
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** Cluster IPs of the service with this number. */
export function vipsOf(number: number): { ipv4: string; ipv6: string } {
  return { ipv4: `10.96.0.${number}`, ipv6: `fd00:96::${number.toString(16)}` };
}

/** A dual-stack Service with one EndpointSlice a family, as the controller manager would make them. */
export function serviceObjects({ name, number, ports, backends, spec = {} }: ServiceOptions): Manifest[] {
  const vips = vipsOf(number);
  const slice = (family: 'ipv4' | 'ipv6'): Manifest => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-${family}`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': name },
    } as Manifest['metadata'],
    addressType: family === 'ipv4' ? 'IPv4' : 'IPv6',
    ports: ports.map(({ name, protocol, targetPort }) => ({ name, protocol, port: targetPort })),
    endpoints: backends.map((pod) => ({
      addresses: [pod.addresses[family]],
      nodeName: pod.node.name,
      conditions: { ready: true, serving: true, terminating: false },
    })),
  });
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'default' },
      spec: {
        clusterIP: vips.ipv4,
        clusterIPs: [vips.ipv4, vips.ipv6],
        ipFamilies: ['IPv4', 'IPv6'],
        ipFamilyPolicy: 'RequireDualStack',
        ports,
        ...spec,
      },
    },
    slice('ipv4'),
    slice('ipv6'),
  ];
}
