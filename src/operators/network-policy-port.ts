// SPDX-License-Identifier: Apache-2.0
import type { PolicyPort } from '../api/generated/types.ts';
import type { Diagnostics } from './diagnostic.ts';
import type { PolicyPortInput } from './inputs.ts';
import { unknownMember } from './network-policy-peer.ts';
import { isPort, protocolOf } from './service-frontends.ts';

const KNOWN = ['protocol', 'port', 'endPort'];
/** An IANA service name, as the API server wants the name of a port (RFC 6335, 5.1); no number. */
const NAME = /^(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$/;

/** The ports of an entry that are understood; the others allow nothing. */
export function portsOf(
  ports: readonly (PolicyPortInput | null | undefined)[],
  field: string,
  diagnostics: Diagnostics,
): PolicyPort[] {
  return ports.flatMap((port, index) => {
    const read = portOf(port, `${field}[${index}]`, diagnostics);
    return read === undefined ? [] : [read];
  });
}

function portOf(
  input: PolicyPortInput | null | undefined,
  field: string,
  diagnostics: Diagnostics,
): PolicyPort | undefined {
  const bad = (at: string, message: string, remedy: string): undefined => {
    diagnostics.add('InvalidPort', `${field}${at}`, message, remedy);
  };
  if (input === null || typeof input !== 'object') return bad('', 'the port is empty', 'remove it');
  const unknown = unknownMember(input, KNOWN);
  if (unknown !== undefined) {
    diagnostics.add('NotSupported', `${field}.${unknown}`, 'the field is not known here', 'remove it');
    return undefined;
  }
  const protocol = protocolOf(input.protocol);
  if (protocol === undefined) {
    const remedy = 'use TCP, UDP or SCTP';
    diagnostics.add('NotSupported', `${field}.protocol`, `${input.protocol} has no ports here`, remedy);
    return undefined;
  }
  const port = input.port ?? undefined;
  const endPort = input.endPort ?? undefined;
  if (typeof port === 'string') {
    if (!NAME.test(port))
      return bad('.port', `"${port}" is no name of a port`, 'write a number without quotes');
    if (endPort !== undefined)
      return bad('.endPort', 'the port is a name', 'remove endPort, or write a number');
    return { protocol, name: port };
  }
  if (port === undefined) {
    return endPort === undefined ? { protocol } : bad('.endPort', 'there is no port', 'set port');
  }
  if (!isPort(port)) return bad('.port', `${port} is not a port`, 'give a number from 1 to 65535');
  if (endPort === undefined) return { protocol, port };
  if (!isPort(endPort) || endPort < port) {
    return bad('.endPort', `${endPort} is no port from ${port} on`, 'give a number from port to 65535');
  }
  return { protocol, port, endPort };
}
