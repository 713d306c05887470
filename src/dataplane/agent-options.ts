// SPDX-License-Identifier: Apache-2.0
import type { CubeType } from '../cubes/cube-type.ts';
import type { Action } from './actions.ts';
import type { Source } from './sources/source.ts';

/** As pino's; what the agent says while it works. */
export interface AgentLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface AgentOptions {
  /** Name of the node, as in Cube.spec.nodeName. */
  readonly node: string;
  readonly source: Source;
  /** Folder of this node's state: committed set, pods, socket, logs. */
  readonly stateDir: string;
  readonly types: ReadonlyMap<string, CubeType>;
  readonly log: AgentLog;
  /** Mount point of the BPF file system. Default /sys/fs/bpf. */
  readonly bpffs?: string;
  /** Directory of cgroup2 that cubes at the hook Cgroup are attached to. Default: the root of the first cgroup2 mount. */
  readonly cgroup?: string;
  /** Folder of the object files. Default build/bpf. */
  readonly objects?: string;
  /** Whether pods are reached by bpf_redirect_peer. Default true. */
  readonly redirectPeer?: boolean;
  /** Whether the packets of a flow may go by what is known of the last one. Default true. */
  readonly flowCache?: boolean;
  readonly version?: string;
  /** Cube ABI whose pins are made; another one than the programs' own is for tests of taking over. */
  readonly abi?: number;
  /** `HOST:PORT` of the metrics endpoint. Default: none. */
  readonly metricsAddress?: string;
  /** `HOST:PORT` of kube-proxy's health endpoint. Default: none. */
  readonly healthzAddress?: string;
  /** `path`: a file for the flow log, `-` for standard output; absent: none. `rate`: events a second of one CPU. */
  readonly flowLog?: { readonly path?: string; readonly rate?: number };
  /** Called after each round, whether it failed or not. */
  readonly afterRound?: () => void;
  /** Called after each action that was run; tests end the process in it. */
  readonly afterAction?: (action: Action) => void;
}

/** A mass disappearance: more than this many at once, and more than half. */
export const GUARD = { count: 10, share: 0.5 } as const;

export function isMassRemoval(removed: number, of: number): boolean {
  return removed > GUARD.count && removed > of * GUARD.share;
}

/** On the CubeNode: lets the next mass removal pass. */
export const ALLOW_REMOVAL = 'cubeplane.io/allow-removal';
