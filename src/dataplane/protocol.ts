// SPDX-License-Identifier: Apache-2.0
/** What goes over the agent's socket: one JSON object a line, each request answered by one line. */
import type { AgentHealth } from './agent-health.ts';
import type { FlowPage } from './flows/flow-buffer.ts';
import type { FlowVerdict } from './flows/flow-record.ts';
import type { NodeCounters } from './inspect/counters.ts';
import type { Refusals } from './inspect/refusals.ts';
import type { TableInfo, TablePage, TablesRequest } from './inspect/tables.ts';
import type { DryRun, DryRunRequest, LivePackets } from './inspection.ts';
import type { PlugRequest } from './plug-request.ts';
import type { PodRecord } from './pod-record.ts';
import type { FilterRequest } from './trace/live-filter.ts';

export interface Methods {
  plug: { params: PlugRequest; result: PodRecord & { gatewayMac: string } };
  unplug: { params: { namespace: string; name: string }; result: { wasPlugged: boolean } };
  /** Actions that would be run now, one line each. */
  plan: { params: Record<string, never>; result: { actions: string[] } };
  pods: { params: Record<string, never>; result: { pods: PodRecord[] } };
  status: { params: Record<string, never>; result: AgentHealth };
  /** Where a packet would go. */
  traceDry: { params: DryRunRequest; result: DryRun };
  /** Real packets that match; one live trace a node, which ends when nobody reads it. */
  startTrace: { params: FilterRequest; result: Record<string, never> };
  readTrace: { params: Record<string, never>; result: LivePackets };
  stopTrace: { params: Record<string, never>; result: Record<string, never> };
  /** What the programs of the node have counted. */
  counters: { params: Record<string, never>; result: NodeCounters };
  /** What rules and policies have refused, by each of them. */
  refusals: { params: Record<string, never>; result: { refusals: Refusals[] } };
  /** New connections and drops; one reader each, who is forgotten when nobody reads. */
  startFlows: { params: { verdicts?: readonly FlowVerdict[] }; result: { reader: number } };
  readFlows: { params: { reader: number }; result: FlowPage };
  stopFlows: { params: { reader: number }; result: Record<string, never> };
  listTables: { params: TablesRequest; result: { tables: TableInfo[] } };
  readTable: { params: TablesRequest; result: TablePage };
  /** Lets a mass removal that a guard holds back pass; `held` is what disappeared, where something did. */
  allowRemoval: { params: Record<string, never>; result: { held?: string } };
}

export type Method = keyof Methods;

export interface Request {
  method: Method;
  params: unknown;
}

export type Response =
  | { ok: true; result: unknown }
  | { ok: false; error: { code: string; message: string; remedy: string } };

export const SOCKET_NAME = 'agent.sock';
/** A request longer than this is none of ours. */
export const MAX_LINE = 65_536;
