// SPDX-License-Identifier: Apache-2.0
import type { Running } from '../../test/harness/process.ts';
import type { Node, Pod } from '../../test/harness/topology.ts';

/** A pod that serves: its process can be ended and started again. */
export interface Backend {
  readonly name: string;
  readonly pod: Pod;
  readonly node: Node;
  server: Running;
}

/** The same play on two stages: a directory of manifests, or a real Kubernetes API server. */
export interface Stage {
  readonly nodes: readonly Node[];
  readonly client: Pod;
  readonly backends: readonly Backend[];
  /** Addresses of the Service `web`. */
  readonly service: { readonly ipv4: string; readonly ipv6: string };
  /** The command that people type: `cubeplane` or `kubectl`. */
  readonly tool: string;
  /** Runs it, and returns what it prints. */
  run(args: readonly string[]): Promise<string>;
  /** Objects as JSON, of all namespaces. */
  objects<T>(plural: string): Promise<T[]>;
  /** Says that a backend terminates: it takes no new connections, and those it has go on. */
  terminate(backend: Backend): Promise<void>;
  /** Says that it is gone. */
  remove(backend: Backend): Promise<void>;
  /** Says that it is there and ready; its server runs. */
  add(backend: Backend): Promise<void>;
  /** How to look at it and to remove it, when it is left up. */
  readonly hints: readonly string[];
}

export const SERVICE_PORTS = { tcp: 80, udp: 7 } as const;
export const TARGET_PORT = 8080;

/** Who runs where: a client and four backends on two nodes. The number is the host part of a pod's addresses. */
export const PODS = [
  { name: 'client', node: 0, number: 10 },
  { name: 'web-1', node: 0, number: 11 },
  { name: 'web-2', node: 0, number: 12 },
  { name: 'web-3', node: 1, number: 11 },
  { name: 'web-4', node: 1, number: 12 },
] as const;
