// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises';
import { parseAddress } from '../../api/ip.ts';
import { askAgent } from '../../dataplane/client.ts';
import { type FlowRecord, type FlowVerdict, VERDICTS } from '../../dataplane/flows/flow-record.ts';
import { CliError, EXIT } from '../errors.ts';
import { interrupted } from '../interrupted.ts';
import { positive } from '../positive.ts';
import { colours } from '../print/colours.ts';
import { flowLine } from '../print/flow.ts';
import { agentDirectory } from './plug.ts';
import { outputOf } from './tables.ts';

export interface FlowsOptions {
  readonly node?: string;
  readonly stateDir?: string;
  readonly output?: string;
  readonly verdict?: string;
  readonly namespace?: string;
  readonly pod?: string;
  readonly address?: string;
  readonly cube?: string;
  readonly count?: string;
}

const POLL_MS = 200;

export async function flows(options: FlowsOptions): Promise<void> {
  await followFlows(options, outputOf(options.output));
}

/** Prints flows that match until interrupted, or until there were so many. */
export async function followFlows(options: FlowsOptions, output: 'json' | 'yaml' | undefined): Promise<void> {
  const count = options.count === undefined ? Number.POSITIVE_INFINITY : positive('--count', options.count);
  const verdicts = verdictsOf(options.verdict);
  checkPeer(options);
  const directory = agentDirectory(options);
  const stop = interrupted();
  const { reader } = await askAgent(directory, 'startFlows', { verdicts });
  try {
    for (let shown = 0; shown < count && !stop.aborted; ) {
      const page = await askAgent(directory, 'readFlows', { reader });
      if (page.suppressed > 0)
        process.stderr.write(
          `${page.suppressed} more came too fast to be told; see --flow-rate of the agent\n`,
        );
      if (page.lost > 0) process.stderr.write(`${page.lost} more were told faster than they were read\n`);
      const wanted = page.flows.filter((flow) => isWanted(flow, options)).slice(0, count - shown);
      for (const flow of wanted) await show(flow, output);
      shown += wanted.length;
      if (shown < count) await sleep(POLL_MS, undefined, { signal: stop }).catch(() => {});
    }
  } finally {
    await askAgent(directory, 'stopFlows', { reader });
  }
}

function verdictsOf(text: string | undefined): readonly FlowVerdict[] {
  if (text === undefined) return VERDICTS;
  const found = VERDICTS.filter((verdict) => verdict.toLowerCase() === text.toLowerCase());
  if (found.length > 0) return found;
  throw new CliError(EXIT.usage, `--verdict ${text} is none`, `give one of ${VERDICTS.join(', ')}`);
}

function checkPeer({ pod, address }: FlowsOptions): void {
  if (pod !== undefined && !/^[^/]+\/[^/]+$/.test(pod))
    throw new CliError(EXIT.usage, `--pod ${pod} is not NAMESPACE/POD`, 'give for example default/client');
  if (address !== undefined && parseAddress(address) === undefined)
    throw new CliError(
      EXIT.usage,
      `--address ${address} is no address`,
      'give for example 10.244.1.5 or fd00::5',
    );
}

export function isWanted(
  { cube, source, destination, backend }: FlowRecord,
  options: Pick<FlowsOptions, 'namespace' | 'pod' | 'address' | 'cube'>,
): boolean {
  const { namespace, pod, address, cube: name } = options;
  const peers = [source, destination, ...(backend === undefined ? [] : [backend])];
  if (name !== undefined && cube !== name && cube.slice(cube.indexOf('/') + 1) !== name) return false;
  if (namespace !== undefined && !peers.some((peer) => peer.namespace === namespace)) return false;
  const isPod = (peer: FlowRecord['source']) =>
    peer.kind === 'Pod' && `${peer.namespace}/${peer.name}` === pod;
  if (pod !== undefined && !peers.some(isPod)) return false;
  return address === undefined || peers.some((peer) => peer.address === address);
}

async function show(flow: FlowRecord, output: 'json' | 'yaml' | undefined): Promise<void> {
  if (output === 'json') process.stdout.write(`${JSON.stringify(flow)}\n`);
  else if (output === 'yaml') {
    const { stringify } = await import('yaml');
    process.stdout.write(`---\n${stringify(flow)}`);
  } else process.stdout.write(`${flowLine(flow, colours(process.stdout))}\n`);
}
