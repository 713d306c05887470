// SPDX-License-Identifier: Apache-2.0

/** Ports that find the MACs of next hops themselves: what `spec.router.neighbours` means. Pure. */
import type { Router } from '../../api/generated/types.ts';
import { formatAddress, type Prefix, parseAddress, parsePrefix } from '../../api/ip.ts';
import type { CubeInput, CubePort, Problem } from '../cube-type.ts';

/** One of these ports, by what is said and asked there. */
export interface ResolvingPort {
  readonly id: number;
  readonly name: string;
  readonly addresses: readonly Prefix[];
}

export interface StaticNeighbour {
  readonly port: number;
  readonly address: string;
  readonly mac: string;
}

export interface Resolving {
  readonly ports: readonly ResolvingPort[];
  readonly statics: readonly StaticNeighbour[];
  readonly problems: readonly Problem[];
}

/** A router as it was stored before the field existed. */
const NONE: Router['neighbours'] = { ports: [], static: [], reachableSeconds: 30, maxNeighbours: 1024 };

export function neighboursOf(spec: Router): Router['neighbours'] {
  return spec.neighbours ?? NONE;
}

export function resolving({ spec, ports: all }: CubeInput<Router>): Resolving {
  const wanted = neighboursOf(spec);
  const problems: Problem[] = [];
  const ports: ResolvingPort[] = [];
  wanted.ports.forEach((name, i) => {
    const field = `spec.router.neighbours.ports[${i}]`;
    const port = all.find((one) => one.name === name);
    const problem = port === undefined ? unknownPort(name, field, all) : portProblem(port, field);
    if (problem) problems.push(problem);
    else if (port) ports.push({ id: port.id, name, addresses: prefixesOf(port) });
  });
  const own = new Set(all.flatMap((port) => prefixesOf(port).map(formatAddress)));
  const statics: StaticNeighbour[] = [];
  wanted.static.forEach(({ port: name, address, mac }, i) => {
    const field = `spec.router.neighbours.static[${i}]`;
    const port = ports.find((one) => one.name === name);
    const parsed = parseAddress(address);
    const refuse = (member: string, message: string) =>
      problems.push({ reason: 'InvalidNeighbour', field: `${field}${member}`, message });
    if (!wanted.ports.includes(name)) {
      refuse(
        '.port',
        `the neighbour ${address} is on port ${name}, which is none of neighbours.ports; add the port there, or remove the neighbour`,
      );
    } else if (port === undefined || parsed === undefined) {
      return; // said above, or by the schema
    } else if (own.has(formatAddress(parsed))) {
      refuse(
        '.address',
        `${address} is the router itself; give the address of the host that has the MAC ${mac}`,
      );
    } else if (/^[0:]*$/.test(mac)) {
      refuse('.mac', `${mac} is no address of a host; write the one that ${address} has`);
    } else if (statics.some((one) => one.port === port.id && one.address === formatAddress(parsed))) {
      refuse(
        '',
        `${address} stands there twice for port ${name}; an address has one MAC: remove one of the two`,
      );
    } else {
      statics.push({ port: port.id, address: formatAddress(parsed), mac: mac.toLowerCase() });
    }
  });
  return { ports, statics, problems };
}

function unknownPort(name: string, field: string, all: readonly CubePort[]): Problem {
  const names = all.map((port) => port.name).join(', ') || 'none';
  return {
    reason: 'UnknownPort',
    field,
    message: `the router has no port ${name} (it has ${names}); name one of them or link ${name}`,
  };
}

function portProblem(port: CubePort, field: string): Problem | undefined {
  const { name, endpoint } = port;
  if (endpoint !== undefined && endpoint !== 'Cube') {
    return {
      reason: 'InvalidNeighbour',
      field,
      message: `port ${name} is linked to an endpoint of type ${endpoint}, where ${endpoint === 'Interface' ? "the kernel's own table has the neighbours" : 'no neighbours have to be found'}; remove it from neighbours.ports`,
    };
  }
  if (port.addresses.length > 0) return undefined;
  return {
    reason: 'InvalidNeighbour',
    field,
    message: `port ${name} has no address that it could ask from; give it one in spec.ports[${name}].addresses`,
  };
}

function prefixesOf(port: CubePort): Prefix[] {
  return port.addresses.flatMap((text) => parsePrefix(text) ?? []);
}
