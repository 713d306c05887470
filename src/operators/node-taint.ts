// SPDX-License-Identifier: Apache-2.0

/** Kubelets may register with it (`--register-with-taints`), with any effect: pods come when the network is there. */
export const NETWORK_TAINT = 'cubeplane.io/network-not-ready';
