// SPDX-License-Identifier: Apache-2.0
import type { PolicyPeer } from '../api/generated/types.ts';
import { canonicalPrefix } from './address.ts';
import { type Diagnostics, shown } from './diagnostic.ts';
import type { ClusterPeerInput, LabelSelectorInput } from './inputs.ts';
import { translateSelector } from './label-selector.ts';

const NOT_YET: Readonly<Record<string, string>> = {
  nodes: 'peers by labels of nodes are not done by this release',
  domainNames: 'peers by domain names are not done by this release',
};

/** The peers of a rule; undefined where one of them is not understood. An empty list is nobody. */
export function clusterPeers(
  peers: readonly (ClusterPeerInput | null | undefined)[],
  direction: 'Ingress' | 'Egress',
  field: string,
  effect: string,
  diagnostics: Diagnostics,
): PolicyPeer[] | undefined {
  const read = peers.map((peer, index) =>
    peerOf(peer ?? {}, direction, `${field}[${index}]`, effect, diagnostics),
  );
  if (peers.length === 0) diagnostics.add('InvalidPeer', field, `there is no peer; ${effect}`, 'name a peer');
  return peers.length === 0 || read.includes(undefined) ? undefined : read.flatMap((list) => list ?? []);
}

function peerOf(
  peer: ClusterPeerInput,
  direction: 'Ingress' | 'Egress',
  field: string,
  effect: string,
  diagnostics: Diagnostics,
): PolicyPeer[] | undefined {
  const named = Object.entries(peer).filter(([, value]) => value != null);
  const [first] = named;
  const known = direction === 'Ingress' ? ['namespaces', 'pods'] : ['namespaces', 'pods', 'networks'];
  if (first === undefined || named.length > 1) {
    // what an older CRD does not know is not stored: then nothing is set here
    const message = `the peer names ${named.length === 0 ? 'nobody that is known here' : 'more than one'}; ${effect}`;
    diagnostics.add('InvalidPeer', field, message, `set one of ${known.join(', ')}`);
    return undefined;
  }
  if (!known.includes(first[0])) {
    const why = NOT_YET[first[0]] ?? 'the field is not known here';
    diagnostics.add('NotSupported', `${field}.${first[0]}`, `${why}; ${effect}`, `use ${known.join(', ')}`);
    return undefined;
  }
  if (peer.networks != null) return networks(peer.networks, `${field}.networks`, effect, diagnostics);
  const selectors = (input: LabelSelectorInput | null | undefined, at: string) => {
    const translated = translateSelector(input ?? {}, at, diagnostics);
    return translated.exact ? translated.selectors : undefined;
  };
  const namespaces = peer.pods
    ? selectors(peer.pods.namespaceSelector, `${field}.pods.namespaceSelector`)
    : selectors(peer.namespaces, `${field}.namespaces`);
  const pods = selectors(peer.pods?.podSelector, `${field}.pods.podSelector`);
  if (namespaces === undefined || pods === undefined) return undefined;
  return namespaces.flatMap((namespaceSelector) =>
    pods.map((podSelector) => ({ namespaceSelector, ...(peer.pods ? { podSelector } : {}) })),
  );
}

function networks(
  texts: readonly (string | null | undefined)[],
  field: string,
  effect: string,
  diagnostics: Diagnostics,
): PolicyPeer[] | undefined {
  const peers: PolicyPeer[] = [];
  for (const [index, text] of texts.entries()) {
    const cidr = canonicalPrefix(text);
    if (cidr === undefined) {
      const message = `${shown(text)} is not a prefix; ${effect}`;
      diagnostics.add('InvalidCIDR', `${field}[${index}]`, message, 'write it like 10.0.0.0/8 or fd00::/8');
      return undefined;
    }
    peers.push({ cidr });
  }
  return peers;
}
