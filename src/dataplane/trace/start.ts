// SPDX-License-Identifier: Apache-2.0
/** Where a dry run begins: the port that a person named → device, MACs and what the program needs. Pure. */
import { contains, parseAddress, parsePrefix } from '../../api/ip.ts';
import { AgentError } from '../errors.ts';
import { decodeAddress, decodePrefix, GATEWAY_MAC, type Rows } from '../layout.ts';
import type { PodRecord } from '../pod-record.ts';
import type { FrameMacs } from './frame.ts';

export interface TraceCube {
  /** `namespace/name`. */
  readonly key: string;
  readonly slot: number;
  readonly ports: readonly { readonly name: string; readonly id: number }[];
}

export interface TraceWorld {
  readonly node: string;
  readonly pods: readonly PodRecord[];
  readonly cubes: readonly TraceCube[];
  readonly interfaces: ReadonlyMap<string, { readonly ifindex: number; readonly mac: string }>;
  readonly overlayDevice: string;
  /** [in the host, at the chain]. */
  readonly stackDevices: readonly [string, string];
  /** Rows of overlay_sources: which VTEP sends from which prefix. */
  readonly overlaySources: Rows;
  readonly overlayVni: number;
}

export interface Start {
  /** What was meant, in words. */
  readonly name: string;
  /** 1: no device matters. */
  readonly ifindex: number;
  readonly macs: FrameMacs;
  readonly mode:
    | { readonly type: 'Interface' }
    | { readonly type: 'Tunnel'; readonly remote: string; readonly vni: number }
    | { readonly type: 'Cube'; readonly slot: number; readonly port: number };
}

/** Of a sender that is somewhere behind an interface; locally administered. */
const SENDER_MAC = '02:00:00:00:00:01';

/** `source`: of the packet. Throws AgentError NotFound, or InvalidRequest for a name that means several things. */
export function startOf(from: string, source: string, world: TraceWorld): Start {
  const found = [...podStart(from, world), ...interfaceStart(from, source, world), ...cubeStart(from, world)];
  const [start, other] = found;
  if (start === undefined) throw notFound(from, world);
  if (other !== undefined) {
    throw new AgentError(
      'InvalidRequest',
      `${from} may be ${found.map(({ name }) => name).join(' or ')}`,
      'name it in full: NAMESPACE/CUBE/PORT, NAMESPACE/POD, or an interface',
    );
  }
  return start;
}

function notFound(from: string, { node, pods, cubes, interfaces }: TraceWorld): AgentError {
  const cube = cubes.find(({ key }) => key === from || key.endsWith(`/${from.split('/')[0]}`));
  const known =
    cube === undefined
      ? `pods ${list(pods.map((pod) => `${pod.namespace}/${pod.name}`))}; cubes ${list(cubes.map(({ key }) => key))}; interfaces ${list([...interfaces.keys()])}`
      : `ports of ${cube.key}: ${list(cube.ports.map(({ name }) => name))}`;
  return new AgentError(
    'NotFound',
    `node ${node} has no pod, interface or port of a cube ${from}`,
    `there are ${known}`,
  );
}

function list(names: readonly string[]): string {
  if (names.length === 0) return 'none';
  return names.length > 8 ? `${names.slice(0, 8).join(', ')} and ${names.length - 8} more` : names.join(', ');
}

function podStart(from: string, { pods, interfaces }: TraceWorld): Start[] {
  const key = from.includes('/') ? from : `default/${from}`;
  return pods
    .filter((pod) => `${pod.namespace}/${pod.name}` === key)
    .map((pod) => ({
      name: `Pod ${key}`,
      ifindex: interfaces.get(pod.interface)?.ifindex ?? 0,
      macs: { src: pod.mac, dst: GATEWAY_MAC },
      mode: { type: 'Interface' },
    }));
}

function interfaceStart(from: string, source: string, world: TraceWorld): Start[] {
  const { interfaces, stackDevices, overlayDevice } = world;
  const name = from === 'host' ? stackDevices[1] : from === 'overlay' ? overlayDevice : from;
  const device = interfaces.get(name);
  if (device === undefined) return [];
  const isOverlay = name === overlayDevice;
  const isStack = name === stackDevices[1];
  const dst = isOverlay || isStack ? GATEWAY_MAC : device.mac;
  const src = isStack ? (interfaces.get(stackDevices[0])?.mac ?? GATEWAY_MAC) : SENDER_MAC;
  return [
    {
      name: `interface ${name}`,
      ifindex: device.ifindex,
      macs: { src, dst },
      mode: isOverlay
        ? { type: 'Tunnel', remote: remoteOf(source, world), vni: world.overlayVni }
        : { type: 'Interface' },
    },
  ];
}

/** The node that a packet with such a source would come from; none: an address that nobody has. */
function remoteOf(source: string, { overlaySources }: TraceWorld): string {
  const address = parseAddress(source);
  for (const [prefix, remote] of overlaySources) {
    const parsed = parsePrefix(decodePrefix(prefix));
    if (address && parsed && parsed.family === address.family && contains(parsed, address))
      return decodeAddress(remote);
  }
  return '192.0.2.1';
}

function cubeStart(from: string, { cubes }: TraceWorld): Start[] {
  const at = from.lastIndexOf('/');
  const [cubeName, portName] = [from.slice(0, at), from.slice(at + 1)];
  if (at < 0) return [];
  return cubes
    .filter(({ key }) => key === cubeName || key.slice(key.indexOf('/') + 1) === cubeName)
    .flatMap(({ key, slot, ports }) =>
      ports
        .filter(({ name }) => name === portName)
        .map(({ id }) => ({
          name: `port ${portName} of Cube ${key}`,
          ifindex: 1,
          macs: { src: SENDER_MAC, dst: GATEWAY_MAC },
          mode: { type: 'Cube', slot, port: id },
        })),
    );
}
