// SPDX-License-Identifier: Apache-2.0
/** What a person may ask a running agent about its node. Changes nothing but what a live trace switches on. */

import type { AgentHealth } from './agent-health.ts';
import type { AgentOptions } from './agent-options.ts';
import { OVERLAY_DEVICE, STACK_DEVICES } from './desired.ts';
import { AgentError } from './errors.ts';
import { type FlowTables, FlowWorld } from './flows/flow-world.ts';
import { type Flows, flowsOf } from './flows/flows.ts';
import type { CubeEvent } from './generated/tcx.ts';
import { type NodeCounters, readCounters } from './inspect/counters.ts';
import { missingLimits } from './inspect/limited-pod.ts';
import { metricsText, type ObjectCount, objectCounts } from './inspect/metrics.ts';
import { type Refusals, readRefusals } from './inspect/refusals.ts';
import {
  describedMaps,
  listTables,
  readTable,
  type TableInfo,
  type TablePage,
  type TablesInput,
  type TablesRequest,
} from './inspect/tables.ts';
import { BPFFS, OBJECTS } from './kernel/kernel.ts';
import { Pins } from './kernel/pins.ts';
import { setTracing, TraceRing } from './kernel/trace-ring.ts';
import type { PodRecord } from './pod-record.ts';
import type { PodStore } from './pods.ts';
import type { Reconciler } from './reconciler.ts';
import { frameOf, withMacs } from './trace/frame.ts';
import { type FilterRequest, filterOf } from './trace/live-filter.ts';
import { LiveTrace } from './trace/live-trace.ts';
import { type TraceNames, traceNames } from './trace/names.ts';
import type { PacketSpec } from './trace/packet-spec.ts';
import { type Start, startOf, type TraceWorld } from './trace/start.ts';
import { leavesXdp, type Story, storyOf } from './trace/story.ts';

/** A live trace that nobody has asked for so long ends: its reader was killed. */
const IDLE_MS = 5000;

/** Objects of a table that become metrics: rules are written by hand, but backends grow in number with the pods. */
const MOST_SERIES = 10_000;
const MOST_BACKENDS = 1_000;

export interface LivePackets {
  readonly packets: readonly Story[];
  /** Packets that were told of and not kept, as nobody asked in time. */
  readonly lost: number;
}

export interface DryRunRequest {
  /** A pod, an interface, or CUBE/PORT. */
  readonly from: string;
  readonly packet?: PacketSpec;
  /** Instead of `packet`: an Ethernet frame, base64. Its MACs are replaced. */
  readonly frame?: string;
}

export interface DryRun extends Story {
  /** What `from` was taken for. */
  readonly from: string;
}

export class Inspection {
  readonly #options: AgentOptions;
  readonly #pods: PodStore;
  readonly #reconciler: Reconciler;
  readonly #pins: Pins;
  readonly flows: Flows;
  #ring: TraceRing | undefined;
  #isBegun = false;
  #live: { readonly trace: LiveTrace; readonly idle: NodeJS.Timeout } | undefined;

  constructor(options: AgentOptions, pods: PodStore, reconciler: Reconciler, tables: FlowTables) {
    this.#options = options;
    this.#pods = pods;
    this.#reconciler = reconciler;
    this.#pins = new Pins(options.bpffs ?? BPFFS, options.node, options.abi);
    this.flows = flowsOf(options, this.#pins, new FlowWorld(options.node, reconciler, pods, tables));
  }

  /** Ends a live trace that an agent before this one was killed in. The shared maps must be there. Throws KernelError. */
  begin(): void {
    const { ready, mapsDiffer } = this.#reconciler.inKernel;
    if (this.#isBegun || !ready || mapsDiffer) return;
    this.#isBegun = true;
    setTracing(this.#pins, false);
    this.flows.begin();
  }

  close(): void {
    this.stopTrace();
    this.flows.close();
    this.#ring?.close();
    this.#ring = undefined;
  }

  /** Where a packet would go. Throws AgentError. */
  async dryRun({ from, packet, frame }: DryRunRequest): Promise<DryRun> {
    const { entry } = this.#reconciler.inKernel;
    if (entry === undefined)
      throw new AgentError(
        'NotFound',
        'no program is in the kernel yet',
        'see cubeplane plan, and the log of the agent',
      );
    const captured = frame === undefined ? undefined : Buffer.from(frame, 'base64');
    if (packet === undefined && captured === undefined)
      throw new AgentError('InvalidRequest', 'a dry run needs a packet', 'give --packet or --pcap');
    const start = startOf(from, packet?.src ?? sourceOf(captured), this.#world());
    const bytes = packet ? frameOf(packet, start.macs) : withMacs(captured ?? Buffer.alloc(0), start.macs);
    this.#ring ??= new TraceRing(this.#pins);
    const events = await this.#dryEvents(this.#ring, entry, bytes, start);
    if (events.length === 0)
      throw new AgentError(
        'KernelError',
        `the chain told nothing of a packet from ${start.name}`,
        'try again',
      );
    return { from: start.name, ...storyOf(events, this.#names()) };
  }

  /** At XDP first where cubes stand in front of the interface, and then in TC if it gets there. */
  async #dryEvents(ring: TraceRing, entry: string, frame: Buffer, start: Start): Promise<CubeEvent[]> {
    const { links, xdp } = this.#reconciler.inKernel;
    const isAt = ({ ifindex }: { readonly ifindex: number }) => ifindex === start.ifindex;
    if (start.mode.type !== 'Interface' || ![...xdp.links.values()].some(isAt))
      return ring.dryRun(entry, frame, start);
    const { events, isPassed } = await ring.dryRunXdp(this.#options.objects ?? OBJECTS, frame, start.ifindex);
    const goesOn = (isPassed || leavesXdp(events)) && [...links.values()].some(isAt);
    return goesOn ? [...events, ...ring.dryRun(entry, frame, start)] : events;
  }

  /**
   * Begins to tell of real packets that match. It ends by itself when nobody asks for packets any more. Throws AgentError;
   * Conflict when somebody else traces.
   */
  startTrace(request: FilterRequest): void {
    if (this.#live !== undefined)
      throw new AgentError(
        'Conflict',
        'another live trace runs on this node',
        'end it first; there is one at a time',
      );
    if (this.#reconciler.inKernel.entry === undefined)
      throw new AgentError('NotFound', 'no program is in the kernel yet', 'see cubeplane plan');
    const filter = filterOf(request, this.#reconciler.network.interfaces);
    const live = new LiveTrace(performance.now());
    this.#ring ??= new TraceRing(this.#pins);
    this.#ring.trace(filter, (events) => live.add(events, performance.now()));
    const idle = setInterval(() => {
      if (performance.now() - live.askedAt > IDLE_MS) this.stopTrace();
    }, IDLE_MS / 5).unref();
    this.#live = { trace: live, idle };
  }

  /** The packets since the last call. Throws AgentError NotFound when no trace runs. */
  readTrace(): LivePackets {
    if (this.#live === undefined) throw new AgentError('NotFound', 'no live trace runs', 'start it again');
    const { packets, lost } = this.#live.trace.take(performance.now());
    const names = this.#names();
    return { packets: packets.map((events) => storyOf(events, names)), lost };
  }

  stopTrace(): void {
    if (this.#live === undefined) return;
    clearInterval(this.#live.idle);
    this.#live = undefined;
    this.#ring?.trace(undefined);
  }

  /** What the programs of the node have counted. Throws KernelError. */
  async counters(): Promise<NodeCounters> {
    const { running, network, inKernel, upkeep } = this.#reconciler;
    const usage = await upkeep.lookAtUsage();
    return readCounters({
      node: this.#options.node,
      pins: this.#pins,
      running: running.values(),
      attachments: inKernel.rows.attachments,
      interfaces: network.interfaces,
      usage,
    });
  }

  /** What rules and policies have refused. Throws KernelError. */
  async refusals(): Promise<Refusals[]> {
    return await readRefusals(this.#pins, this.#reconciler.running.values());
  }

  /** The tables of one cube or of all. Throws AgentError. */
  async listTables(request: TablesRequest): Promise<TableInfo[]> {
    await this.#reconciler.upkeep.lookAtUsage();
    return listTables(this.#tables(), request);
  }

  /** Rows of one table. Throws AgentError. */
  async readTable(request: TablesRequest): Promise<TablePage> {
    return await readTable(this.#tables(), request);
  }

  /** What the kernel lacks of the limits of a pod, in words. Throws KernelError. */
  async missingLimits(pod: PodRecord): Promise<string[]> {
    return await missingLimits(pod, this.#reconciler.running.values(), (request) => this.readTable(request));
  }

  /** All metrics, as Prometheus reads them. Throws KernelError. */
  async metrics(health: AgentHealth): Promise<string> {
    const isThere = this.#reconciler.inKernel.ready;
    const objects: ObjectCount[] = [];
    for (const { cube, table, kind, limit } of isThere ? this.#countedObjects() : []) {
      const page = await this.readTable({ cube, table, limit });
      objects.push(...objectCounts({ cube }, kind, page));
    }
    const { user, system } = process.cpuUsage();
    return metricsText(health, isThere ? await this.counters() : undefined, objects, {
      cpuSeconds: (user + system) / 1e6,
      residentBytes: process.memoryUsage.rss(),
      startTime: Math.round(performance.timeOrigin / 1000),
    });
  }

  #countedObjects(): { cube: string; table: string; kind: string; limit: number }[] {
    const found: { cube: string; table: string; kind: string; limit: number }[] = [];
    for (const { instance, plan } of this.#reconciler.running.values()) {
      for (const { name, objects, counts } of describedMaps(plan.cube.type.type)) {
        const kind = objects?.key;
        const limit = counts === 'sessions' ? MOST_BACKENDS : MOST_SERIES;
        if (counts && kind !== undefined) found.push({ cube: instance.cubeKey, table: name, kind, limit });
      }
    }
    return found;
  }

  #tables(): TablesInput {
    const { running, upkeep } = this.#reconciler;
    return {
      node: this.#options.node,
      pins: this.#pins,
      running: [...running.values()],
      usage: upkeep.usage,
    };
  }

  #names(): TraceNames {
    const { running, network } = this.#reconciler;
    return traceNames(running.values(), network.interfaces, this.#pods.values());
  }

  #world(): TraceWorld {
    const { running, network, inForce } = this.#reconciler;
    return {
      node: this.#options.node,
      pods: [...this.#pods.values()],
      cubes: [...running.values()].map(({ instance, plan }) => ({
        key: instance.cubeKey,
        slot: instance.slot,
        ports: plan.cube.input.ports,
      })),
      interfaces: network.interfaces,
      overlayDevice: OVERLAY_DEVICE,
      stackDevices: STACK_DEVICES,
      overlaySources: new Map([...inForce.sources.nodes, ...inForce.sources.rows]),
      overlayVni: inForce.accepted?.graph.overlay?.vni ?? 1,
    };
  }
}

/** Source address of an IP frame; empty for others. */
function sourceOf(frame: Buffer | undefined): string {
  if (frame === undefined || frame.length < 34) return '';
  if (frame.readUInt16BE(12) === 0x0800) return frame.subarray(26, 30).join('.');
  if (frame.readUInt16BE(12) !== 0x86dd || frame.length < 54) return '';
  return frame.toString('hex', 22, 38).replace(/(....)(?!$)/g, '$1:');
}
