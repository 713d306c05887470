// SPDX-License-Identifier: Apache-2.0
/** The variables CNI_… of a call. What is checked here may be part of a line for `ip -batch` and of a path. Pure. */
import { CniError, CODE } from './cni-error.ts';
import { COMMANDS, type Command } from './versions.ts';
import type { CniCall } from './wire.ts';

/** Whom a call is about. */
export interface Target {
  readonly containerId: string;
  readonly ifname: string;
  /** Path; empty where a DEL has none. */
  readonly netns: string;
  readonly args: ReadonlyMap<string, string>;
}

const invalid = (message: string, remedy: string) => new CniError(CODE.InvalidEnvironment, message, remedy);

/** Throws CniError. */
export function commandOf({ command }: CniCall): Command {
  const known = COMMANDS.find((one) => one === command);
  if (known !== undefined) return known;
  throw invalid(`CNI_COMMAND: ${JSON.stringify(command)}: not a command`, `give ${COMMANDS.join(', ')}`);
}

/** The target of an ADD, DEL or CHECK. Throws CniError, which names the variable. */
export function targetOf(command: Command, call: CniCall): Target {
  const { containerId, ifname, netns } = call;
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,511}$/.test(containerId)) {
    throw invalid(
      `CNI_CONTAINERID: ${shown(containerId)}: not an identifier`,
      'begin with a letter or digit, and go on with letters, digits, _, . and -',
    );
  }
  if (!/^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,14}$/.test(ifname)) {
    throw invalid(
      `CNI_IFNAME: ${shown(ifname)}: not a name for an interface`,
      'give 1 to 15 letters, digits, _, . and -, such as eth0',
    );
  }
  const needsNetns = command !== 'DEL';
  if ((needsNetns || netns !== '') && !/^\/[a-zA-Z0-9_.,:@%+=/-]{1,4095}$/.test(netns)) {
    throw invalid(
      `CNI_NETNS: ${shown(netns)}: not the path of a network namespace`,
      'give an absolute path without blanks and quotes, such as /run/netns/NAME',
    );
  }
  return { containerId, ifname, netns, args: argsOf(command, call.args) };
}

/** What kubelet and containerd tell of a pod. */
const KNOWN_ARGS = [
  'IgnoreUnknown',
  'K8S_POD_NAMESPACE',
  'K8S_POD_NAME',
  'K8S_POD_UID',
  'K8S_POD_INFRA_CONTAINER_ID',
];

/** `KEY=VALUE;KEY=VALUE`. A DEL takes what it can read. */
function argsOf(command: Command, text: string): Map<string, string> {
  const args = new Map<string, string>();
  for (const pair of text.split(';')) {
    const at = pair.indexOf('=');
    if (at > 0) args.set(pair.slice(0, at), pair.slice(at + 1));
    else if (pair !== '' && command !== 'DEL')
      throw invalid(`CNI_ARGS: ${shown(pair)}: not KEY=VALUE`, 'separate pairs by semicolons');
  }
  const ignores = /^(1|true|yes)$/i.test(args.get('IgnoreUnknown') ?? '');
  const unknown = [...args.keys()].find((key) => !KNOWN_ARGS.includes(key));
  if (unknown !== undefined && !ignores && command !== 'DEL')
    throw invalid(`CNI_ARGS: ${shown(unknown)} means nothing here`, 'leave it out, or add IgnoreUnknown=1');
  return args;
}

function shown(text: string): string {
  return text === '' ? 'not set' : JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
