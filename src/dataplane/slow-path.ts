// SPDX-License-Identifier: Apache-2.0
/**
 * What programs hand to the agent: each record goes to the image of its cube, which says what follows. The agent knows no
 * cube type by name.
 */
import type { PacketOut, PuntAnswer, PuntLog, PuntRecord } from '../cubes/cube-type.ts';
import type { AgentLog } from './agent-options.ts';
import { finishChecksum } from './checksum.ts';
import { earlier, type Running } from './images.ts';
import { LogLimit } from './log-limit.ts';
import type { Punt } from './punt-record.ts';

/** Lines in the log for all cubes of the node together; the kernel limits each cube by itself. */
const LINES = { perSecond: 200, burst: 400 } as const;
/** A record that lay in the buffer so long, because no agent ran, speaks of a packet that nobody waits for. */
const STALE_MS = 5000;
/** Records that wait for a round to end; what is more is left out. */
const MOST_WAITING = 4096;

export interface SlowPathCounts {
  /** Records given to a cube. */
  readonly handled: number;
  /** Older than anybody waits. */
  readonly stale: number;
  /** Of a cube that is no longer there. */
  readonly orphaned: number;
  /** More than could wait for a round to end. */
  readonly overflowed: number;
}

/** A packet for the cube in a slot. */
export interface Outgoing extends PacketOut {
  readonly slot: number;
}

export interface Handled {
  readonly packets: readonly Outgoing[];
  /** Images had a say, and may want to write. */
  readonly isChanged: boolean;
}

export class SlowPath {
  readonly #log: AgentLog;
  readonly #limit: LogLimit;
  readonly #counts = { handled: 0, stale: 0, orphaned: 0, overflowed: 0 };
  #waiting: Punt[] = [];

  constructor(log: AgentLog, now: number) {
    this.#log = log;
    this.#limit = new LogLimit(LINES.perSecond, LINES.burst, now);
  }

  get counts(): SlowPathCounts {
    return { ...this.#counts };
  }

  /** Keeps records until `handle`; returns whether that has to be called, which is so for the first ones. */
  add(punts: readonly Punt[]): boolean {
    const isFirst = this.#waiting.length === 0;
    const room = MOST_WAITING - this.#waiting.length;
    this.#waiting.push(...punts.slice(0, room));
    this.#counts.overflowed += Math.max(0, punts.length - room);
    return isFirst && this.#waiting.length > 0;
  }

  /** Gives all that wait to their cubes. `now`: milliseconds of CLOCK_MONOTONIC. */
  handle(running: Iterable<Running>, now: number): Handled {
    const bySlot = new Map([...running].map((cube) => [cube.instance.slot, cube]));
    const waiting = this.#waiting;
    const packets: Outgoing[] = [];
    let isChanged = false;
    this.#waiting = [];
    for (const { slot, record } of waiting) {
      const cube = bySlot.get(slot);
      if (now - record.time > STALE_MS) this.#counts.stale++;
      else if (cube === undefined) this.#counts.orphaned++;
      else {
        const answer = this.#handle(cube, record, now);
        packets.push(...(answer.packets ?? []).map((packet) => ({ ...packet, slot })));
        isChanged ||= cube.image.punted !== undefined;
      }
    }
    return { packets, isChanged };
  }

  #handle(cube: Running, record: PuntRecord, now: number): PuntAnswer {
    this.#counts.handled++;
    if (record.kind === 'Packet' && record.packet.length === record.length)
      finishChecksum(record.packet, record.l3Offset);
    const answer: PuntAnswer = cube.image.punted?.(record) ?? { logs: [unexplained(record)] };
    cube.dueAt = earlier(cube.dueAt, answer.dueAt);
    for (const line of answer.logs ?? []) this.#write(cube, record, line, now);
    return answer;
  }

  #write(cube: Running, record: PuntRecord, line: PuntLog, now: number): void {
    const { allowed, keptBack } = this.#limit.take(now);
    if (!allowed) return;
    const { tuple, length } = record;
    const port = cube.plan.cube.input.ports.find(({ id }) => id === record.port)?.name;
    const fields = {
      cube: cube.instance.cubeKey,
      ...(port === undefined ? {} : { port }),
      ...line.fields,
      ...tuple,
      length,
      ...(keptBack === 0 ? {} : { linesLeftOut: keptBack }),
    };
    this.#log.info(fields, line.message);
  }
}

function unexplained({ kind, code, metadata }: PuntRecord): PuntLog {
  return {
    message: kind === 'Packet' ? 'a packet was handed over' : 'a packet passed',
    fields: { code, metadata: `0x${metadata.toString(16)}` },
  };
}
