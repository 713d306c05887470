// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises';
import { askAgent } from '../../dataplane/client.ts';
import type { DryRun } from '../../dataplane/inspection.ts';
import { PACKET_SYNTAX, parsePacket } from '../../dataplane/trace/packet-spec.ts';
import { readPcap } from '../../dataplane/trace/pcap.ts';
import { CliError, EXIT } from '../errors.ts';
import { colours } from '../print/colours.ts';
import { storyLines } from '../print/story.ts';
import { printData } from './get.ts';
import { agentDirectory } from './plug.ts';
import type { TraceOptions } from './trace-options.ts';

/** Packets of a capture that a dry run looks at. */
const MAX_PACKETS = 1000;
/** Bytes; with base64 a request stays below what the agent reads as one line. */
const MAX_FRAME = 40_000;

export async function trace(options: TraceOptions): Promise<void> {
  const { from, packet, pcap, output } = options;
  if (output !== undefined && output !== 'json' && output !== 'yaml')
    throw new CliError(
      EXIT.usage,
      `there is no output format ${output} here`,
      'use json or yaml, or leave -o out',
    );
  if (!options.dryRun) return await (await import('./trace-live.ts')).traceLive(options, output);
  if (from === undefined || (packet === undefined) === (pcap === undefined))
    throw new CliError(
      EXIT.usage,
      'a dry run needs --from and one of --packet and --pcap',
      `as: --from default/web-1 --packet ${PACKET_SYNTAX.split(', ')[0]}`,
    );
  const directory = agentDirectory(options);
  const ask = async (what: object): Promise<DryRun> =>
    await askAgent(directory, 'traceDry', { from, ...what });
  const runs: DryRun[] = [];
  if (packet !== undefined) runs.push(await ask({ packet: specOf(packet) }));
  for (const frame of pcap === undefined ? [] : await framesOf(pcap)) {
    runs.push(await ask({ frame: frame.toString('base64') }));
  }
  if (output !== undefined) await printData(pcap === undefined ? runs[0] : runs, output);
  else for (const run of runs) print(run);
}

function specOf(text: string): ReturnType<typeof parsePacket> {
  try {
    return parsePacket(text);
  } catch (error) {
    const { message, remedy } = error as Error & { remedy: string };
    throw new CliError(EXIT.usage, message, remedy, { cause: error });
  }
}

async function framesOf(path: string): Promise<Buffer[]> {
  const file = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT') throw cause;
    throw new CliError(EXIT.notFound, `there is no file ${path}`, 'check --pcap', { cause });
  });
  const frames = readPcap(file, MAX_PACKETS + 1);
  if (frames.length === 0) throw new CliError(EXIT.refused, `${path} holds no packet`, 'capture some');
  if (frames.length > MAX_PACKETS)
    throw new CliError(
      EXIT.refused,
      `${path} holds more than ${MAX_PACKETS} packets`,
      'cut it: editcap -r IN OUT 1-100',
    );
  const long = frames.findIndex(({ length }) => length > MAX_FRAME);
  if (long >= 0)
    throw new CliError(
      EXIT.refused,
      `packet ${long + 1} of ${path} has ${frames[long]?.length} bytes, more than ${MAX_FRAME}`,
      'capture with segmentation offload off: ethtool -K DEVICE tso off gso off gro off',
    );
  return frames;
}

function print(run: DryRun): void {
  const paint = colours(process.stdout);
  for (const line of storyLines(run, paint, run.from)) process.stdout.write(`${line}\n`);
}
