// SPDX-License-Identifier: Apache-2.0

/** What to do where the kernel says EPERM. */
export const CAPABILITIES =
  'run the agent as root, or with CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, and CAP_SYS_ADMIN to enter the network namespaces of pods';
