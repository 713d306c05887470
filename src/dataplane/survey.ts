// SPDX-License-Identifier: Apache-2.0

export interface SurveyedProgram {
  readonly device: string;
  /** As `tcx ingress`, `tc egress`, `XDP`. */
  readonly hook: string;
  readonly name: string;
}

/** What a node has of networks, whosever they are. */
export interface NodeSurvey {
  readonly kernel: { readonly release: string; readonly features: readonly string[] };
  readonly hasBpffs: boolean;
  readonly hasCgroup: boolean;
  readonly uplink: string | undefined;
  readonly devices: readonly {
    readonly name: string;
    /** As `bridge`, `vxlan`; empty for hardware. */
    readonly kind: string;
    readonly up: boolean;
    readonly addresses: readonly string[];
    readonly vxlanPort?: number;
  }[];
  /** Programs at devices that are not the agent's. */
  readonly programs: readonly SurveyedProgram[];
  /** Network configurations in the order in which runtimes read them, with the types of their plugins. */
  readonly cniConfigs: readonly { readonly path: string; readonly types: readonly string[] }[];
  /** Process ids of kube-proxies. */
  readonly proxies: readonly number[];
  readonly rules: { readonly chains: readonly string[]; readonly ipvsServices: number };
  /** Such as `ipv4.ip_forward`. */
  readonly parameters: Readonly<Record<string, number>>;
  /** What could not be looked at. */
  readonly problems: readonly string[];
}
