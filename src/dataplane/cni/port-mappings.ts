// SPDX-License-Identifier: Apache-2.0
/** The capability portMappings, as runtimes pass it on (CNI conventions). Pure. */
import { formatAddress, parseAddress } from '../../api/ip.ts';
import { isPort } from '../../operators/service-frontends.ts';
import type { HostPort } from '../pod-record.ts';
import { CniError, CODE } from './cni-error.ts';
import { byNames } from './go-names.ts';

const PROTOCOLS: Readonly<Record<string, HostPort['protocol']>> = { tcp: 'TCP', udp: 'UDP', sctp: 'SCTP' };
const NAMES = ['hostPort', 'containerPort', 'protocol', 'hostIP'];
/** As many frontends as a Service has. */
const MOST = 128;

/** Throws CniError, which names the field. */
export function hostPortsOf(value: unknown): HostPort[] {
  const field = 'runtimeConfig.portMappings';
  const wrong = (at: string, why: string) =>
    new CniError(
      CODE.InvalidConfig,
      `${field}${at}: ${why}`,
      'the runtime writes it there, as [{"hostPort": 80, "containerPort": 8080, "protocol": "tcp"}]',
    );
  if (!Array.isArray(value)) throw wrong('', 'not a list');
  if (value.length > MOST) throw wrong('', `${value.length} ports, more than ${MOST}`);
  const ports = value.map((item: unknown, index): HostPort => {
    const at = `[${index}]`;
    if (typeof item !== 'object' || item === null) throw wrong(at, 'not an object');
    const fields = byNames(item as Record<string, unknown>, NAMES);
    const { hostPort, containerPort, protocol, hostIP } = fields;
    if (!isPort(hostPort)) throw wrong(`${at}.hostPort`, `${JSON.stringify(hostPort)} is no port`);
    if (!isPort(containerPort))
      throw wrong(`${at}.containerPort`, `${JSON.stringify(containerPort)} is no port`);
    const known = PROTOCOLS[String(protocol || 'tcp').toLowerCase()];
    if (known === undefined)
      throw wrong(`${at}.protocol`, `${JSON.stringify(protocol)} is not tcp, udp or sctp`);
    if (known === 'SCTP' && hostPort !== containerPort)
      throw wrong(
        at,
        'the checksum of SCTP cannot be corrected for another port: both numbers have to be one',
      );
    const isEverywhere = hostIP === undefined || hostIP === null || hostIP === '';
    const address = isEverywhere ? undefined : parseAddress(String(hostIP));
    if (!isEverywhere && address === undefined)
      throw wrong(`${at}.hostIP`, `${JSON.stringify(hostIP)} is no IP address`);
    const text = address === undefined ? '' : formatAddress(address);
    return { hostPort, containerPort, protocol: known, hostIP: text };
  });
  ports.forEach(({ hostPort, protocol, hostIP }, index) => {
    const isTwin = (one: HostPort) =>
      one.hostPort === hostPort && one.protocol === protocol && one.hostIP === hostIP;
    if (ports.findIndex(isTwin) < index)
      throw wrong(`[${index}]`, `port ${hostPort}/${protocol} is there twice`);
  });
  return ports;
}
