// SPDX-License-Identifier: Apache-2.0
/** Names of what the test puts into a cluster, and what the cluster gave them. Pure. */
import type { Family } from '../../api/ip.ts';

/** An address a family. */
export interface Addresses {
  readonly ipv4?: string;
  readonly ipv6?: string;
}

export interface StageNode {
  readonly name: string;
  /** Its InternalIPs. */
  readonly addresses: Addresses;
  /** As whom its processes reach pods. */
  readonly gateway: Addresses;
  /** Interface of its way out, as its CubeNode says. */
  readonly uplink: string;
}

export interface StageService {
  readonly addresses: Addresses;
  readonly port: number;
  /** By protocol. */
  readonly nodePorts: { readonly TCP?: number; readonly UDP?: number };
}

/** All that the probes are made from. */
export interface Stage {
  readonly namespace: string;
  /** One or two. */
  readonly nodes: readonly StageNode[];
  /** By the names of {@link names}. */
  readonly pods: Readonly<Record<string, Addresses>>;
  readonly services: Readonly<Record<string, StageService>>;
  readonly apiServer: StageService;
  readonly hasDns: boolean;
  readonly hostPort: number;
  readonly external?: string;
}

/** Port of servers in pods, and of Services in front of them. */
export const SERVER_PORT = 8080;
export const SERVICE_PORT = 80;
/** Of servers in the network of a node: outside of node ports and of ports for masqueraded connections. */
export const HOST_PORT = 28_282;

/** Names of pods and Services; `node` counts from 1. */
export const names = {
  server: (node: number) => `server-${node}`,
  guarded: (node: number) => `guarded-${node}`,
  host: (node: number) => `host-${node}`,
  client: (node: number) => `client-${node}`,
  hostClient: (node: number) => `host-client-${node}`,
  friend: (phase: string) => `${phase}-friend`,
  stranger: (phase: string) => `${phase}-stranger`,
  /** Services: of all servers, with affinity, without an address of its own, with policy Local. */
  all: 'servers',
  affine: 'affine',
  headless: 'headless',
  local: 'local',
} as const;

/** One after another; each with clients of its own. */
export const PHASES = ['paths', 'deny', 'allow', 'undone'] as const;
export type Phase = (typeof PHASES)[number];

export const addressOf = (addresses: Addresses | undefined, family: Family): string | undefined =>
  family === 4 ? addresses?.ipv4 : addresses?.ipv6;

/** The first address of each family. */
export function addressesOf(list: readonly string[]): Addresses {
  const ipv4 = list.find((address) => address.includes('.'));
  const ipv6 = list.find((address) => address.includes(':'));
  return { ...(ipv4 === undefined ? {} : { ipv4 }), ...(ipv6 === undefined ? {} : { ipv6 }) };
}

/** Families that pods have. */
export function familiesOf({ pods }: Pick<Stage, 'pods'>): Family[] {
  return ([4, 6] as const).filter((family) => addressOf(pods[names.server(1)], family) !== undefined);
}
