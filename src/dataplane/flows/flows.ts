// SPDX-License-Identifier: Apache-2.0
/** The flow log of a node: who reads it, and that programs tell of what somebody reads, and of nothing else. */
import type { AgentOptions } from '../agent-options.ts';
import { AgentError } from '../errors.ts';
import type { FlowEvent } from '../generated/tcx.ts';
import { monotonic } from '../images.ts';
import { askForFlows, FlowRing } from '../kernel/flow-ring.ts';
import type { Pins } from '../kernel/pins.ts';
import { FlowBuffer, type FlowPage } from './flow-buffer.ts';
import { FlowFile } from './flow-file.ts';
import { type FlowNames, type FlowRecord, type FlowVerdict, flowRecord, VERDICTS } from './flow-record.ts';

/** A reader that has not asked for so long is gone: it was killed. */
const IDLE_MS = 5000;
const TURN_MS = 1000;
const MOST_READERS = 16;
const FLOW_RATE = 1000;

interface FlowsOptions {
  readonly node: string;
  readonly pins: Pins;
  /** Names for the events of one batch. */
  readonly world: { names(): FlowNames };
  /** Where all flows go, as long as the agent runs. */
  readonly file?: FlowFile;
  /** Events a second of one CPU. */
  readonly rate: number;
}

/** As the agent is told to. */
export function flowsOf(
  { node, flowLog, log }: AgentOptions,
  pins: Pins,
  world: FlowsOptions['world'],
): Flows {
  return new Flows({
    node,
    pins,
    world,
    rate: flowLog?.rate ?? FLOW_RATE,
    ...(flowLog?.path === undefined ? {} : { file: new FlowFile(flowLog.path, log) }),
  });
}

interface Reader {
  readonly verdicts: number;
  readonly buffer: FlowBuffer;
}

const ALL = (1 << VERDICTS.length) - 1;

export class Flows {
  readonly #options: FlowsOptions;
  readonly #readers = new Map<number, Reader>();
  #ring: FlowRing | undefined;
  #turn: NodeJS.Timeout | undefined;
  #lastId = 0;
  #isBegun = false;

  constructor(options: FlowsOptions) {
    this.#options = options;
  }

  /** Asks for what is wanted now, whatever an agent before this one has left. The shared maps must be there. Throws KernelError. */
  begin(): void {
    if (this.#isBegun) return;
    this.#isBegun = true;
    this.#follow();
  }

  close(): void {
    this.#readers.clear();
    clearInterval(this.#turn);
    if (this.#ring !== undefined) askForFlows(this.#options.pins, 0, this.#options.rate);
    this.#ring?.close();
    this.#ring = undefined;
  }

  /** Begins to keep flows for a reader; undefined: of all verdicts. Throws AgentError, KernelError. */
  open(verdicts: readonly FlowVerdict[] | undefined): number {
    if (!this.#isBegun)
      throw new AgentError('NotFound', 'no program is in the kernel yet', 'see cubeplane plan');
    if (this.#readers.size >= MOST_READERS)
      throw new AgentError('Conflict', `${MOST_READERS} readers follow the flows already`, 'end one of them');
    const bits = (verdicts ?? VERDICTS).reduce((all, one) => all | (1 << VERDICTS.indexOf(one)), 0);
    const id = ++this.#lastId;
    this.#readers.set(id, { verdicts: bits & ALL, buffer: new FlowBuffer(monotonic()) });
    this.#follow();
    return id;
  }

  /** What has come since the last call. Throws AgentError NotFound. */
  read(id: number): FlowPage {
    const reader = this.#readers.get(id);
    if (reader === undefined)
      throw new AgentError('NotFound', 'nobody follows the flows by this number', 'start it again');
    return reader.buffer.take(monotonic());
  }

  end(id: number): void {
    if (this.#readers.delete(id)) this.#follow();
  }

  #follow(): void {
    const { pins, file } = this.#options;
    const wanted = [...this.#readers.values()].reduce((all, one) => all | one.verdicts, file ? ALL : 0);
    if (wanted !== 0 && this.#ring === undefined) {
      this.#ring = new FlowRing(pins, (events) => this.#tell(events, 0));
      this.#turn = setInterval(() => this.#look(), TURN_MS).unref();
    }
    askForFlows(pins, wanted, this.#options.rate);
    if (wanted !== 0) return;
    clearInterval(this.#turn);
    this.#ring?.close();
    this.#ring = undefined;
  }

  #look(): void {
    const now = monotonic();
    for (const [id, { buffer }] of this.#readers) if (now - buffer.askedAt > IDLE_MS) this.end(id);
    const suppressed = this.#ring?.takeSuppressed() ?? 0;
    if (suppressed > 0) this.#tell([], suppressed);
  }

  #tell(events: readonly FlowEvent[], suppressed: number): void {
    const { file, node, world } = this.#options;
    const boot = Date.now() - monotonic();
    const known = world.names();
    const records = events.map((event): [number, FlowRecord] => [
      event.verdict,
      flowRecord(event, known, boot),
    ]);
    for (const { verdicts, buffer } of this.#readers.values()) {
      const own = records.filter(([verdict]) => (verdicts >> verdict) & 1).map(([, record]) => record);
      buffer.add(own, suppressed);
    }
    file?.write(
      records.map(([, record]) => record),
      suppressed,
      node,
      new Date(),
    );
  }
}
