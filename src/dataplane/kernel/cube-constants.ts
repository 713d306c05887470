// SPDX-License-Identifier: Apache-2.0
import { constants } from '../generated/tcx.ts';

/** What all programs of a node are told alike. */
export interface NodeConstants {
  readonly redirectPeer: boolean;
  readonly gatewayMac: string;
}

/** Bytes of `struct cube_constants`; without an instance those of the entry program and its like, which have slot 0. */
export function cubeConstants(
  { redirectPeer, gatewayMac }: NodeConstants,
  { slot, transparent }: { readonly slot: number; readonly transparent: boolean } = ENTRY,
): Uint8Array {
  return constants.cube.encode({
    slot,
    redirectPeer: redirectPeer ? 1 : 0,
    transparent: transparent ? 1 : 0,
    gatewayMac,
  });
}

const ENTRY = { slot: 0, transparent: false };
