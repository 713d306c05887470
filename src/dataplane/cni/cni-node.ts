// SPDX-License-Identifier: Apache-2.0
/** What the verbs need of the agent and of the disk; tests put something else in its place. */
import type { PodName } from '../about-pod.ts';
import type { Action } from '../actions.ts';
import type { AgentLog } from '../agent-options.ts';
import type { Inspection } from '../inspection.ts';
import type { IdleVeth } from '../kernel/pod-veth.ts';
import type { NodeFacts } from '../node-facts.ts';
import type { PlugRequest } from '../plug-request.ts';
import type { AboutPod, PodRecord } from '../pod-record.ts';
import type { Attachments } from './attachments.ts';
import type { KnownPods } from './known-pods.ts';

export interface CniAgent {
  plug(request: PlugRequest): Promise<unknown>;
  unplug(namespace: string, name: string): Promise<boolean>;
  /** A new pod's interface that is there still gets its link now; of one that was deleted everything goes. */
  followDevice(device: string): Promise<void>;
  plan(): Promise<Action[]>;
  pods(): PodRecord[];
  /** What policies may look at in a pod; undefined where that is nothing. Throws AgentError. */
  about(pod: PodName): Promise<AboutPod | undefined>;
  /** Addresses that policies take for pods', also for some that are gone. */
  policyAddresses(): Set<string>;
  /** Answers a question about the node, between two rounds. */
  inspect<T>(work: (inspection: Pick<Inspection, 'missingLimits'>) => T | Promise<T>): Promise<T>;
  readonly facts: NodeFacts;
}

/** What is done behind the answers. */
export interface CniAfterwork {
  /** Does a call, before which the rest stands back. */
  before<T>(call: () => Promise<T>): Promise<T>;
  /** Takes a pair for deletion. Returns whether there is room; else it is the caller's still. */
  remove(pair: IdleVeth): boolean;
  /** Lets the interface of a new pod have its link later. */
  settle(device: string): void;
}

export interface CniNode {
  readonly agent: CniAgent;
  readonly afterwork: CniAfterwork;
  readonly attachments: Attachments;
  /** Pods of the node's life before this one. */
  readonly known: KnownPods;
  readonly log: AgentLog;
  /** Folder of the runtime's network configurations. */
  readonly confDir: string;
  /** Pod ranges of the node, also while its Node object is not known. */
  readonly ranges: () => readonly string[];
}
