// SPDX-License-Identifier: Apache-2.0
/** Names for people of what the load balancer decides by. */
import type { DecidedPacket, PacketService } from '../cube-type.ts';
import { type Backends, PROTOCOLS } from './backends.ts';

/** What of a service is needed to tell whether a backend is its own. */
interface Lists {
  readonly name: string;
  /** id * 2 + ready */
  readonly backends: Uint32Array;
}

const SHOWN = 3;

function place(address: string, port: number, proto: number): string {
  const protocol =
    Object.entries(PROTOCOLS).find(([, number]) => number === proto)?.[0] ?? `protocol ${proto}`;
  return `${address.includes(':') ? `[${address}]` : address}:${port}/${protocol}`;
}

/** `10.96.0.10:80/TCP of Service default/web`. */
export function frontendText({ dst, dport, proto }: DecidedPacket, service: string | undefined): string {
  return `${place(dst, dport, proto)}${service === undefined ? '' : ` of Service ${service}`}`;
}

/**
 * `10.244.1.10:8080/TCP of Service default/web`; undefined for an id that is free. With `kind: 'server'` without its Services,
 * which come and go: a series of a metric has one name.
 */
export function backendText(
  id: number,
  backends: Backends,
  kind: string,
  services: Iterable<Lists>,
): string | undefined {
  const row = backends.row(id);
  if (row === undefined) return undefined;
  if (kind === 'server') return place(row.address, row.port, row.proto);
  const names = [...services]
    .filter((one) => one.backends.some((word) => word >>> 1 === id))
    .map(({ name }) => name);
  const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : '';
  const of =
    names.length === 0
      ? 'that no Service lists any more'
      : `of Service ${names.slice(0, SHOWN).join(', ')}${more}`;
  return `${place(row.address, row.port, row.proto)} ${of}`;
}

/** `service`: `namespace/name`; `id`: of the backend that got the packet, where one did. */
export function packetService(service: string, backends: Backends, id: bigint | undefined): PacketService {
  const [namespace = '', name = ''] = service.split('/');
  const row = id === undefined ? undefined : backends.row(Number(id));
  if (row === undefined) return { namespace, name };
  return { namespace, name, backend: { address: row.address, port: row.port } };
}
