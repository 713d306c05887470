// SPDX-License-Identifier: Apache-2.0
/** The network configuration on the plugin's standard input. Pure. */
import { isObject } from '../../api/is-object.ts';
import type { HostPort, PodBandwidth } from '../pod-record.ts';
import { bandwidthOf } from './bandwidth.ts';
import { CniError, CODE } from './cni-error.ts';
import { hostPortsOf } from './port-mappings.ts';
import { type AddressRange, rangeOf } from './ranges.ts';
import {
  type CniVersion,
  type Command,
  isSupported,
  requireCommand,
  SUPPORTED_VERSIONS,
} from './versions.ts';

export interface Dns {
  readonly nameservers?: readonly string[];
  readonly domain?: string;
  readonly search?: readonly string[];
  readonly options?: readonly string[];
}

export interface Configuration {
  readonly cniVersion: CniVersion;
  readonly name: string;
  /** Of the pod's routes, in bytes of IP packet; absent: what the node's chain carries. */
  readonly mtu?: number;
  /** Absent: the pod ranges of the node. */
  readonly ranges?: readonly AddressRange[];
  readonly dns?: Dns;
  /** Ports of the node that are to lead to the pod. */
  readonly hostPorts?: readonly HostPort[];
  /** What the pod may send and get. */
  readonly bandwidth?: PodBandwidth;
  readonly prevResult?: Readonly<Record<string, unknown>>;
  /** Attachments that a GC keeps, as keys. */
  readonly valid?: ReadonlySet<string>;
}

/** Fields of ours, and those that runtimes add. */
const FIELDS = ['cniVersion', 'cniVersions', 'name', 'type', 'socket', 'mtu', 'ranges', 'dns'];
const OF_RUNTIMES = ['capabilities', 'runtimeConfig', 'args', 'prevResult'];
/** What the agent does for pods that ask for it; it says so in the configuration that it writes. */
export const CAPABILITIES = ['portMappings', 'bandwidth'] as const;

const invalid = (message: string, remedy: string) => new CniError(CODE.InvalidConfig, message, remedy);

/** How a container's interface is called among attachments. */
export function attachmentKey(containerId: string, ifname: string): string {
  return `${containerId}/${ifname}`;
}

/** Reads what a command needs; DEL and GC look at no more than that, so that pods can always go. Throws CniError. */
export function parseConfiguration(command: Command, text: string): Configuration {
  const fields = decode(text);
  const { cniVersion, name } = fields;
  if (!isSupported(cniVersion)) {
    throw new CniError(
      CODE.IncompatibleVersion,
      `cniVersion: ${cniVersion === undefined ? 'not set' : JSON.stringify(cniVersion)}`,
      `set it to one of ${SUPPORTED_VERSIONS.join(', ')}`,
    );
  }
  requireCommand(command, cniVersion);
  if (typeof name !== 'string' || !/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) {
    throw invalid(
      `name: ${name === undefined ? 'not set' : JSON.stringify(name)}: not the name of a network`,
      'begin with a letter or digit, and go on with letters, digits, _, . and -',
    );
  }
  if (command === 'DEL') return { cniVersion, name };
  if (command === 'GC') return { cniVersion, name, valid: validOf(fields) };
  refuseUnsupported(fields);
  const { mtu, ranges, dns, prevResult } = fields;
  return {
    cniVersion,
    name,
    ...(mtu === undefined ? {} : { mtu: mtuOf(mtu) }),
    ...(ranges === undefined ? {} : { ranges: rangesOf(ranges) }),
    ...(dns === undefined ? {} : { dns: dnsOf(dns) }),
    ...ofRuntime(fields),
    ...(prevResult === undefined ? {} : { prevResult: previousOf(command, prevResult) }),
  };
}

function decode(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CniError(
      CODE.DecodeFailure,
      `the network configuration on standard input is no JSON: ${(error as Error).message}`,
      'the runtime writes it there: look at the files in /etc/cni/net.d',
    );
  }
  if (isObject(value)) return value;
  throw new CniError(
    CODE.DecodeFailure,
    'the network configuration on standard input is no JSON object',
    'the runtime writes it there: look at the files in /etc/cni/net.d',
  );
}

function refuseUnsupported(fields: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(fields)) {
    if (key === 'capabilities' || key === 'runtimeConfig') refuseCapabilities(key, value);
    else if (!FIELDS.includes(key) && !OF_RUNTIMES.includes(key) && !key.startsWith('cni.dev/'))
      throw unsupported(
        key,
        value,
        key === 'ipam' ? 'leave it out: the agent gives addresses from the node’s ranges' : 'leave it out',
      );
  }
}

/** A runtime passes on only what was declared: a declaration is refused before a pod relies on it. */
function refuseCapabilities(field: string, value: unknown): void {
  if (!isObject(value)) throw invalid(`${field}: not an object`, 'write {"NAME": true}, or leave it out');
  for (const [name, wish] of Object.entries(value)) {
    if (wish === false || wish === null || CAPABILITIES.some((one) => one === name)) continue;
    throw unsupported(`${field}.${name}`, wish, `this release does not do ${name}: leave it out`);
  }
}

/** Runtimes pass on only what the configuration declares as a capability. */
function ofRuntime(
  fields: Readonly<Record<string, unknown>>,
): Pick<Configuration, 'hostPorts' | 'bandwidth'> {
  const asked = isObject(fields.runtimeConfig) ? fields.runtimeConfig : {};
  const hostPorts = asked.portMappings == null ? [] : hostPortsOf(asked.portMappings);
  const bandwidth = asked.bandwidth == null ? undefined : bandwidthOf(asked.bandwidth);
  return {
    ...(hostPorts.length === 0 ? {} : { hostPorts }),
    ...(bandwidth === undefined ? {} : { bandwidth }),
  };
}

function unsupported(key: string, value: unknown, remedy: string): CniError {
  const text = JSON.stringify(value) ?? 'undefined';
  const shown = text.length > 200 ? `${text.slice(0, 200)}…` : text;
  return new CniError(CODE.UnsupportedField, `unsupported field ${key}: ${shown}`, remedy);
}

function mtuOf(value: unknown): number {
  // 1280: the least that IPv6 works with (RFC 8200 5).
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1280 && value <= 65_535) return value;
  throw invalid(
    `mtu: ${JSON.stringify(value)}`,
    'give whole bytes of IP packet, 1280 to 65535, or leave it out',
  );
}

function rangesOf(value: unknown): AddressRange[] {
  const wrong = (why: string) =>
    invalid(`ranges: ${why}`, 'write one a family, as [{"subnet": "10.244.1.0/24"}], or leave it out');
  if (!Array.isArray(value) || value.length === 0) throw wrong('not a list with a range');
  const ranges = value.map((item, index) => {
    const at = `ranges[${index}]`;
    if (!isObject(item) || typeof item.subnet !== 'string') throw wrong(`${at} has no subnet`);
    const other = Object.keys(item).find((key) => key !== 'subnet' && key !== 'gateway');
    if (other !== undefined) throw unsupported(`${at}.${other}`, item[other], 'leave it out');
    const range = rangeOf(item.subnet, item.gateway);
    if (!range.ok) throw invalid(`${at}.${range.field}: ${range.message}`, range.remedy);
    return range.value;
  });
  if (new Set(ranges.map(({ family }) => family)).size < ranges.length) throw wrong('two of one family');
  return ranges;
}

function dnsOf(value: unknown): Dns {
  const isText = (one: unknown) => typeof one === 'string';
  const isList = (one: unknown) => Array.isArray(one) && one.every(isText);
  const checks: Record<string, (one: unknown) => boolean> = {
    nameservers: isList,
    domain: isText,
    search: isList,
    options: isList,
  };
  if (!isObject(value)) throw invalid('dns: not an object', 'write {"nameservers": ["10.96.0.10"]}');
  for (const [key, one] of Object.entries(value))
    if (!Object.hasOwn(checks, key) || !checks[key]?.(one))
      throw invalid(
        `dns.${key}: ${JSON.stringify(one)}`,
        'nameservers, search, options are lists; domain is text',
      );
  return value as Dns;
}

function previousOf(command: Command, value: unknown): Readonly<Record<string, unknown>> {
  if (command === 'ADD')
    throw invalid(
      'prevResult: another plugin has been at work before this one',
      'put cubeplane-cni first in the list of plugins: it makes the interface',
    );
  if (isObject(value)) return value;
  throw invalid('prevResult: not an object', 'the runtime writes the result of ADD there');
}

/** `cni.dev/attachments` is what CNI 1.1's text first called it. No list is an empty one: so libcni means it. */
function validOf(fields: Readonly<Record<string, unknown>>): Set<string> {
  const key =
    fields['cni.dev/valid-attachments'] != null ? 'cni.dev/valid-attachments' : 'cni.dev/attachments';
  const list = fields[key] ?? [];
  const wrong = (why: string) =>
    invalid(`${key}: ${why}`, 'the runtime lists what is to stay, as [{"containerID": …, "ifname": …}]');
  if (!Array.isArray(list)) throw wrong('not a list');
  return new Set(
    list.map((item, index) => {
      if (!isObject(item) || typeof item.containerID !== 'string' || typeof item.ifname !== 'string')
        throw wrong(`[${index}] has no containerID or no ifname`);
      return attachmentKey(item.containerID, item.ifname);
    }),
  );
}
