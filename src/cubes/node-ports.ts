// SPDX-License-Identifier: Apache-2.0
import type { Frontend, Service } from '../api/generated/types.ts';

/**
 * Where a frontend answers on a node. One of scope NodePort without addresses answers on all addresses of the node, of the
 * families that the service has: those of the addresses that its other frontends list, or both where none lists any.
 *
 * @param node addresses of the node, of either family, without length.
 */
export function addressesOn(
  frontend: Frontend,
  service: Service,
  node: readonly string[],
): readonly string[] {
  if (frontend.addresses.length > 0 || frontend.scope !== 'NodePort') return frontend.addresses;
  const listed = service.frontends.flatMap(({ addresses }) => addresses);
  if (listed.length === 0) return node;
  const families = new Set(listed.map(isV6));
  return node.filter((address) => families.has(isV6(address)));
}

/** Whether {@link addressesOn} asks the node. */
export function followsNode({ addresses, scope }: Frontend): boolean {
  return scope === 'NodePort' && addresses.length === 0;
}

const isV6 = (address: string): boolean => address.includes(':');
