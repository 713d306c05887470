// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises';
import { askAgent } from '../../dataplane/client.ts';
import type { Story } from '../../dataplane/trace/story.ts';
import { CliError, EXIT } from '../errors.ts';
import { interrupted } from '../interrupted.ts';
import { positive } from '../positive.ts';
import { colours } from '../print/colours.ts';
import { storyLines } from '../print/story.ts';
import { agentDirectory } from './plug.ts';
import type { TraceOptions } from './trace-options.ts';

const POLL_MS = 200;

/** Prints packets that match until interrupted, or until there were so many. */
export async function traceLive(options: TraceOptions, output: 'json' | 'yaml' | undefined): Promise<void> {
  if (options.from !== undefined || options.packet !== undefined || options.pcap !== undefined)
    throw new CliError(EXIT.usage, '--from, --packet and --pcap are of a dry run', 'add --dry-run');
  const count = number('--count', options.count) ?? Number.POSITIVE_INFINITY;
  const port = number('--port', options.port);
  const directory = agentDirectory(options);
  const stop = interrupted();
  await askAgent(directory, 'startTrace', {
    rate: number('--rate', options.rate) ?? 100,
    ...(options.host === undefined ? {} : { host: options.host }),
    ...(port === undefined ? {} : { port }),
    ...(options.protocol === undefined ? {} : { protocol: options.protocol }),
    ...(options.interface === undefined ? {} : { interface: options.interface }),
  });
  try {
    for (let shown = 0; shown < count && !stop.aborted; ) {
      const { packets, lost } = await askAgent(directory, 'readTrace', {});
      if (lost > 0) process.stderr.write(`${lost} packets were told of and lost; lower --rate\n`);
      const wanted = packets.filter((story) => isWanted(story, options)).slice(0, count - shown);
      for (const story of wanted) await show(story, output);
      shown += wanted.length;
      if (shown < count) await sleep(POLL_MS, undefined, { signal: stop }).catch(() => {});
    }
  } finally {
    await askAgent(directory, 'stopTrace', {});
  }
}

function number(name: string, text: string | undefined): number | undefined {
  return text === undefined ? undefined : positive(name, text);
}

function isWanted({ hops, drop }: Story, { cube, dropped }: TraceOptions): boolean {
  if (dropped && drop === undefined) return false;
  return (
    cube === undefined ||
    hops.some(({ cube: key }) => key === cube || key.slice(key.indexOf('/') + 1) === cube)
  );
}

async function show(story: Story, output: 'json' | 'yaml' | undefined): Promise<void> {
  if (output === 'json') process.stdout.write(`${JSON.stringify(story)}\n`);
  else if (output === 'yaml') {
    const { stringify } = await import('yaml');
    process.stdout.write(`---\n${stringify(story)}`);
  } else for (const line of storyLines(story, colours(process.stdout))) process.stdout.write(`${line}\n`);
}
