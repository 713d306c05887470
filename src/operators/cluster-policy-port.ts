// SPDX-License-Identifier: Apache-2.0
import type { PolicyPort } from '../api/generated/types.ts';
import { type Diagnostics, shown } from './diagnostic.ts';
import type { ClusterProtocolInput } from './inputs.ts';
import { unknownMember } from './network-policy-peer.ts';
import { isPort } from './service-frontends.ts';

const PROTOCOLS = { tcp: 'TCP', udp: 'UDP', sctp: 'SCTP' } as const;
const NAMED = 'destinationNamedPort';

/** What a rule's protocols mean; undefined where one of them is not understood. */
export function clusterPorts(
  protocols: readonly (ClusterProtocolInput | null | undefined)[],
  field: string,
  effect: string,
  diagnostics: Diagnostics,
): PolicyPort[] | undefined {
  const read = protocols.map((one, index) => portsOf(one ?? {}, `${field}[${index}]`, effect, diagnostics));
  if (protocols.length === 0)
    diagnostics.add(
      'InvalidPort',
      field,
      `there is no protocol; ${effect}`,
      'remove the field for all protocols',
    );
  return protocols.length === 0 || read.includes(undefined) ? undefined : read.flatMap((list) => list ?? []);
}

function portsOf(
  input: ClusterProtocolInput,
  field: string,
  effect: string,
  diagnostics: Diagnostics,
): PolicyPort[] | undefined {
  const bad = (at: string, message: string, remedy: string): undefined => {
    diagnostics.add('InvalidPort', `${field}${at}`, `${message}; ${effect}`, remedy);
  };
  const known = Object.keys(PROTOCOLS) as (keyof typeof PROTOCOLS)[];
  const unknown = unknownMember(input, [...known, NAMED]);
  const named = Object.values(input).filter((value) => value != null);
  if (unknown !== undefined || named.length !== 1) {
    diagnostics.add(
      'NotSupported',
      unknown === undefined ? field : `${field}.${unknown}`,
      `${unknown === undefined ? 'one member has to be set that is known here' : 'the field is not known here'}; ${effect}`,
      `set one of ${[...known, NAMED].join(', ')}`,
    );
    return undefined;
  }
  const name = input[NAMED];
  // A name is one of a port, whatever its protocol.
  if (name != null)
    return name === '' || name.length > 63
      ? bad(`.${NAMED}`, `"${name}" is no name of a port`, 'give the name that containers declare')
      : Object.values(PROTOCOLS).map((protocol) => ({ protocol, name }));
  const key = known.find((one) => input[one] != null) as keyof typeof PROTOCOLS;
  const protocol = PROTOCOLS[key];
  const more = unknownMember(input[key] ?? {}, ['destinationPort']);
  if (more !== undefined) return bad(`.${key}.${more}`, 'the field is not known here', 'remove it');
  const port = input[key]?.destinationPort;
  if (port == null) return bad(`.${key}`, 'it says nothing that is known here', 'set destinationPort');
  const at = `.${key}.destinationPort`;
  if (port.number != null && port.range == null) {
    if (!isPort(port.number))
      return bad(`${at}.number`, `${shown(port.number)} is not a port`, 'give a number from 1 to 65535');
    return [{ protocol, port: port.number }];
  }
  const { start, end } = port.range ?? {};
  if (port.number != null || !isPort(start) || !isPort(end) || end < start)
    return bad(
      at,
      'it is neither a number nor a range',
      'give number, or range with start and a greater end',
    );
  return [{ protocol, port: start, endPort: end }];
}
