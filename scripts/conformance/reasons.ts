// SPDX-License-Identifier: Apache-2.0
/** Upstream's network tests that are not run here, each with the fact that prevents it. */

export interface Reason {
  /** Of the test's name, as upstream prints it. */
  readonly pattern: RegExp;
  /** A fact about this machine or this cluster, not about the network that is tested. */
  readonly fact: string;
  /** What a test says that skips itself for this fact; without it the test is not even started. */
  readonly skips?: RegExp;
}

export const REASONS: readonly Reason[] = [
  {
    pattern: /\[Feature:SCTPConnectivity\]|SCTP HostPort|basic SCTP service/,
    fact: 'needs SCTP sockets, and kernels that tests run on may have none (CONFIG_IP_SCTP)',
  },
  {
    pattern: /Internet connection for containers|DNS configMap nameserver Forward/,
    fact: 'needs the Internet, or names that are known there: the cluster has no way out',
  },
  {
    pattern: /\[Provider:GCE\]/,
    fact: "asks for names of Google's cloud",
  },
  {
    pattern: /switch session affinity for LoadBalancer service with Local traffic policy/,
    fact: 'needs a balancer in front of the nodes that spreads clients: here one node answers for an address (ADR 36), and sends them to its own pods alone',
  },
  {
    pattern: /load balancer cleanup finalizer/,
    fact: "tests a finalizer of clouds' controllers, which have a balancer to give back; here an address is free when its Service is gone",
  },
  {
    pattern:
      /kube-proxy migration|\[Feature:KubeProxyNFAcct\]|KubeProxy should set TCP CLOSE_WAIT|check kube-proxy urls/,
    fact: 'tests kube-proxy itself, which does not run here: the network serves Services',
  },
  {
    pattern: /recreate its iptables rules|after restarting (kube-proxy|apiserver)/,
    fact: 'restarts programs of nodes by SSH, which the machines do not have',
  },
  {
    pattern: /\[Feature:OffByDefault\]/,
    fact: 'needs a feature gate that is off by default',
  },
  {
    pattern: /\[Feature:PerformanceDNS\]|\[Feature:Networking-Performance\]/,
    fact: 'measures, and takes a machine of its own: npm run bench measures this network',
  },
  {
    pattern: /./,
    fact: 'needs more zones, or more nodes, than the cluster has: see --nodes',
    skips: /\bzones?\b|\bnodes?\b/,
  },
];

/** The reason why a test is not started. Pure. */
export function reasonFor(name: string): Reason | undefined {
  return REASONS.find(({ pattern, skips }) => skips === undefined && pattern.test(name));
}

/** The reason why a test that was started skipped itself with this message. Pure. */
export function reasonForSkip(name: string, message: string): Reason | undefined {
  return REASONS.find(({ pattern, skips }) => skips?.test(message) === true && pattern.test(name));
}
