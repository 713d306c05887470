// SPDX-License-Identifier: Apache-2.0

/** What `cubeplane trace` was called with. */
export interface TraceOptions {
  readonly node?: string;
  readonly stateDir?: string;
  readonly output?: string;
  readonly dryRun?: boolean;
  readonly from?: string;
  readonly packet?: string;
  readonly pcap?: string;
  readonly host?: string;
  readonly port?: string;
  readonly protocol?: string;
  readonly interface?: string;
  readonly cube?: string;
  readonly dropped?: boolean;
  readonly rate: string;
  readonly count?: string;
}
