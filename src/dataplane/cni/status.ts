// SPDX-License-Identifier: Apache-2.0
import { rangesOfNode } from './add.ts';
import { refuseOthersInChain } from './chained.ts';
import { CniError, CODE } from './cni-error.ts';
import type { CniNode } from './cni-node.ts';
import type { Configuration } from './configuration.ts';

/** Throws CniError where an ADD could not be served now. */
export function status(node: CniNode, configuration: Configuration): void {
  refuseOthersInChain(node.confDir, configuration.name);
  const { notReady, servesPods } = node.agent.facts;
  if (notReady !== undefined) {
    throw new CniError(
      servesPods ? CODE.NotAvailable : CODE.LimitedConnectivity,
      notReady,
      'cubeplane get cubes, and cubeplane plan on this node, say what is missing',
    );
  }
  try {
    if (configuration.ranges === undefined) rangesOfNode(node);
  } catch (error) {
    const { message, remedy } = error as CniError;
    throw new CniError(CODE.NotAvailable, message, remedy, error);
  }
}
