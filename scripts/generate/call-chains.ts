// SPDX-License-Identifier: Apache-2.0
/**
 * How much of the kernel's stack a program needs: of all chains of calls, the one whose frames add up to the most. The
 * verifier's log has the frames, in the order of the functions; the calls between them are in bpftool's listing.
 */
import { execFileSync } from 'node:child_process';
import type { BpfProgram } from '../../src/dataplane/kernel/addon/index.ts';

/** The kernel's own limit (MAX_BPF_STACK), bytes. */
export const STACK_LIMIT = 512;
/** What a program of ours may use of it: the rest is room for growth. */
export const STACK_ALLOWED = 448;

export interface CallChain {
  readonly bytes: number;
  /** From the program itself to the innermost function. */
  readonly functions: readonly string[];
}

interface Func {
  readonly name: string;
  /** Number of its first instruction. */
  readonly first: number;
  readonly frame: number;
  /** First instructions of the functions that it calls. */
  readonly calls: Set<number>;
  /** Of those that it names as a callback. */
  readonly callbacks: Set<number>;
}

/** Bytes by which a frame has grown after the check, where the kernel has put a bpf_loop() in line (optimize_bpf_loop). */
const INLINED_LOOP = 24;

/** A frame as the kernel counts it where programs are compiled; without JIT, and before 6.9, it rounds up to 32. */
function counted({ frame, calls, callbacks }: Func): number {
  const hasInlinedLoop = [...callbacks].some((callback) => calls.has(callback));
  return Math.ceil((hasInlinedLoop ? frame - INLINED_LOOP : frame) / 16) * 16;
}

/**
 * @param program loaded with `logLevel` 4, without which the log has no frames. Code that the verifier removes because of
 *   the values of constants is not looked at.
 * @throws Error when log and listing do not agree.
 */
export function deepestChain(program: BpfProgram): CallChain {
  const frames = /^stack depth ([\d+]+)/m.exec(program.log)?.[1]?.split('+').map(Number) ?? [];
  const id = String(program.info().id);
  const listing = execFileSync('bpftool', ['prog', 'dump', 'xlated', 'id', id], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  const functions = functionsOf(listing, frames);
  if (functions.length !== frames.length || functions.length === 0)
    throw new Error(`${frames.length} frames of ${functions.length} functions`);
  const chains = new Map<number, CallChain>();
  const chainOf = (first: number): CallChain => {
    const func = functions.find((one) => one.first === first);
    if (!func) throw new Error(`a call of instruction ${first}, where no function begins`);
    const known = chains.get(first);
    if (known) return known;
    const inner = [...new Set([...func.calls, ...func.callbacks])]
      .map(chainOf)
      .sort((a, b) => b.bytes - a.bytes)[0];
    const chain = {
      bytes: counted(func) + (inner?.bytes ?? 0),
      functions: [func.name, ...(inner?.functions ?? [])],
    };
    chains.set(first, chain);
    return chain;
  };
  return chainOf(0);
}

/** Of a listing: a line before each function says its type, "int name(…):"; calls and callbacks say how far away they are. */
function functionsOf(listing: string, frames: readonly number[]): Func[] {
  const functions: Func[] = [];
  let name = '';
  for (const line of listing.split('\n')) {
    const [, at, text = ''] = /^ *(\d+): (.*)/.exec(line) ?? [];
    if (at === undefined) {
      name = /^(?!;).*?(\w+)\(.*\):$/.exec(line)?.[1] ?? name;
      continue;
    }
    if (name !== '') {
      const frame = frames[functions.length] ?? 0;
      functions.push({ name, first: Number(at), frame, calls: new Set(), callbacks: new Set() });
      name = '';
    }
    const func = functions.at(-1);
    const target = (pattern: RegExp) => Number(at) + Number(pattern.exec(text)?.[1]) + 1;
    if (text.includes('call pc')) func?.calls.add(target(/call pc([+-]\d+)/));
    else if (text.includes('= subprog[')) func?.callbacks.add(target(/subprog\[([+-]\d+)\]/));
  }
  return functions;
}
