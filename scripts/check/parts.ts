// SPDX-License-Identifier: Apache-2.0

/** One part of `npm test`, in the order in which they run: the cheapest answer first. */
export interface Part {
  readonly name: 'lint' | 'unit' | 'kernel' | 'netns' | 'e2e';
  readonly description: string;
  /** Most seconds that the part may take, on two cores. */
  readonly limitSeconds: number;
  /** Most seconds of one test that sets no limit itself. */
  readonly testSeconds: number;
  /** Test files at the same time; each has namespaces, and where it needs one a control plane, of its own. */
  readonly workers: number;
  /** Needs etcd, kube-apiserver and kubectl. */
  readonly kubernetes: boolean;
}

export const PARTS: readonly Part[] = [
  {
    name: 'lint',
    description: 'format, types, import directions, licences, generated files',
    limitSeconds: 300,
    testSeconds: 0,
    workers: 0,
    kubernetes: false,
  },
  {
    name: 'unit',
    description: 'pure functions and the command line; no root, no kernel, no network',
    limitSeconds: 600,
    testSeconds: 20,
    workers: 2,
    kubernetes: false,
  },
  {
    name: 'kernel',
    description: 'eBPF programs through this kernel: verifier and BPF_PROG_TEST_RUN; root',
    limitSeconds: 1800,
    testSeconds: 60,
    workers: 2,
    kubernetes: false,
  },
  {
    name: 'netns',
    description: 'real packets between network namespaces, and agents; root',
    limitSeconds: 2400,
    testSeconds: 120,
    workers: 3,
    kubernetes: false,
  },
  {
    name: 'e2e',
    description: 'the whole system on a real kube-apiserver with real kubectl; root',
    limitSeconds: 2400,
    testSeconds: 180,
    workers: 3,
    kubernetes: true,
  },
];

/** The parts that were asked for, in order; all for an empty list. @throws Error naming the parts there are. */
export function selectParts(only: readonly string[]): Part[] {
  for (const name of only) {
    if (!PARTS.some((part) => part.name === name)) {
      throw new Error(`--only ${name}: no such part; there are ${PARTS.map((part) => part.name).join(', ')}`);
    }
  }
  return PARTS.filter((part) => only.length === 0 || only.includes(part.name));
}
