// SPDX-License-Identifier: Apache-2.0
import { createMachine, type Machine, type Underlay } from './topology.ts';
import { startServer } from './traffic.ts';

/** Host number of the machine that stands for the Internet: the nodes' default gateway. */
const INTERNET_HOST = 250;
/** What it has beside its address on the underlay (RFC 5737, RFC 3849). */
export const INTERNET = { ipv4: '203.0.113.5', ipv6: '2001:db8:5::5' } as const;
/** It answers TCP and UDP there with its name and the address that it saw. */
export const INTERNET_PORT = 8080;

export async function createInternet(underlay: Underlay): Promise<Machine> {
  const machine = await createMachine(underlay, 'internet', INTERNET_HOST);
  await machine.namespace.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 });
  await machine.namespace.ip(
    `address add ${INTERNET.ipv4}/32 dev lo`,
    `address add ${INTERNET.ipv6}/128 dev lo`,
  );
  for (const address of Object.values(INTERNET))
    await startServer(machine.namespace, 'internet', INTERNET_PORT, address);
  return machine;
}

/** Makes it the machine's default gateway. */
export async function routeToInternet(
  { namespace }: Machine,
  { addresses }: Pick<Machine, 'addresses'>,
): Promise<void> {
  await namespace.ip(`route add default via ${addresses.ipv4}`, `route add default via ${addresses.ipv6}`);
}
