// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import { askAgent } from '../../dataplane/client.ts';
import { stateRootOf } from '../context.ts';
import { CliError, EXIT } from '../errors.ts';
import { nodeOf } from '../node-option.ts';

interface AgentOptions {
  readonly node?: string;
  readonly stateDir?: string;
}

export interface PlugOptions extends AgentOptions {
  readonly interface: string;
  readonly address: readonly string[];
  readonly mac?: string;
  readonly netns?: string;
  readonly podInterface: string;
  readonly gateway?: readonly string[];
  readonly routes?: boolean;
  readonly mtu?: number;
}

export async function plug(pod: string, options: PlugOptions): Promise<void> {
  const { mtu } = options;
  if (mtu !== undefined && !Number.isInteger(mtu)) {
    throw new CliError(EXIT.usage, '--mtu: not a whole number', 'give bytes of IP packet, such as 1450');
  }
  const record = await askAgent(agentDirectory(options), 'plug', {
    ...podName(pod),
    interface: options.interface,
    addresses: options.address,
    podInterface: options.podInterface,
    routes: options.routes === true,
    ...(options.mac === undefined ? {} : { mac: options.mac }),
    ...(options.netns === undefined ? {} : { netns: options.netns }),
    ...(options.gateway === undefined ? {} : { gateways: options.gateway }),
    ...(mtu === undefined ? {} : { mtu }),
  });
  process.stdout.write(`pod ${record.namespace}/${record.name} is plugged at ${record.interface}\n`);
}

export async function unplug(pod: string, options: AgentOptions): Promise<void> {
  const { namespace, name } = podName(pod);
  const { wasPlugged } = await askAgent(agentDirectory(options), 'unplug', { namespace, name });
  const what = wasPlugged ? 'is unplugged' : 'was not plugged';
  process.stdout.write(`pod ${namespace}/${name} ${what}\n`);
}

/** The folder of the node's agent, which holds its socket. */
export function agentDirectory(options: AgentOptions): string {
  return join(stateRootOf(options), nodeOf(options));
}

function podName(text: string): { namespace: string; name: string } {
  const [first = '', second] = text.split('/');
  return second === undefined ? { namespace: 'default', name: first } : { namespace: first, name: second };
}
