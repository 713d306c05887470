// SPDX-License-Identifier: Apache-2.0
import type { LabelSelector, PolicyPeer } from '../api/generated/types.ts';
import { canonicalPrefix } from './address.ts';
import type { Diagnostics } from './diagnostic.ts';
import type { LabelSelectorInput, PolicyPeerInput } from './inputs.ts';
import { blocksOf } from './ip-block.ts';
import { translateSelector } from './label-selector.ts';

const KNOWN = ['podSelector', 'namespaceSelector', 'ipBlock'];
const KNOWN_OF_BLOCK = ['cidr', 'except'];
/** Cutting a prefix around more than these takes long, and nobody writes them. */
const MAX_EXCEPTS = 1024;

/** The peers of an entry that are understood; the others allow nothing. */
export function peersOf(
  peers: readonly (PolicyPeerInput | null | undefined)[],
  field: string,
  diagnostics: Diagnostics,
): PolicyPeer[] {
  return peers.flatMap((peer, index) => peerOf(peer, `${field}[${index}]`, diagnostics));
}

/** A member that a newer API may have: what it narrows is not known, so its object cannot be understood. */
export function unknownMember(object: object, known: readonly string[]): string | undefined {
  return Object.entries(object).find(([name, value]) => !known.includes(name) && value != null)?.[0];
}

function peerOf(
  peer: PolicyPeerInput | null | undefined,
  field: string,
  diagnostics: Diagnostics,
): PolicyPeer[] {
  if (peer === null || typeof peer !== 'object') return bad(diagnostics, field, 'the peer is empty');
  const unknown = unknownMember(peer, KNOWN);
  if (unknown !== undefined) {
    diagnostics.add('NotSupported', `${field}.${unknown}`, 'the field is not known here', 'remove it');
    return [];
  }
  const pods = peer.podSelector ?? undefined;
  const namespaces = peer.namespaceSelector ?? undefined;
  const block = peer.ipBlock ?? undefined;
  if (block !== undefined) {
    if (pods === undefined && namespaces === undefined)
      return blockPeers(block, `${field}.ipBlock`, diagnostics);
    return bad(diagnostics, field, 'ipBlock stands beside a selector');
  }
  if (pods === undefined && namespaces === undefined) return bad(diagnostics, field, 'the peer names nobody');
  const podSelectors = selectors(pods, `${field}.podSelector`, diagnostics);
  const namespaceSelectors = selectors(namespaces, `${field}.namespaceSelector`, diagnostics);
  return namespaceSelectors.flatMap((namespaceSelector) =>
    podSelectors.map((podSelector) => ({
      ...(namespaceSelector === undefined ? {} : { namespaceSelector }),
      ...(podSelector === undefined ? {} : { podSelector }),
    })),
  );
}

/** Selectors that together are the one; an absent one stays absent, and one that is not understood is nobody. */
function selectors(
  input: LabelSelectorInput | undefined,
  field: string,
  diagnostics: Diagnostics,
): (LabelSelector | undefined)[] {
  if (input === undefined) return [undefined];
  const translated = translateSelector(input, field, diagnostics);
  return translated.exact ? translated.selectors : [];
}

function blockPeers(
  block: NonNullable<PolicyPeerInput['ipBlock']>,
  field: string,
  diagnostics: Diagnostics,
): PolicyPeer[] {
  const unknown = unknownMember(block, KNOWN_OF_BLOCK);
  if (unknown !== undefined) {
    diagnostics.add('NotSupported', `${field}.${unknown}`, 'the field is not known here', 'remove it');
    return [];
  }
  const cidr = canonicalPrefix(block.cidr);
  if (cidr === undefined) {
    const message = `${block.cidr ?? '(none)'} is not a prefix`;
    diagnostics.add('InvalidCIDR', `${field}.cidr`, message, 'write it like 10.244.1.0/24');
    return [];
  }
  const texts = block.except ?? [];
  if (texts.length > MAX_EXCEPTS) {
    const message = `${texts.length} exceptions are more than ${MAX_EXCEPTS}`;
    diagnostics.add('TooMany', `${field}.except`, message, 'use wider exceptions');
    return [];
  }
  const except: string[] = [];
  for (const [index, text] of texts.entries()) {
    const prefix = canonicalPrefix(text);
    if (prefix === undefined) {
      // Without the exception the peer would allow what it was written to keep out.
      const message = `${text} is not a prefix, so the whole peer allows nothing`;
      diagnostics.add('InvalidCIDR', `${field}.except[${index}]`, message, 'write it like 10.244.1.0/24');
      return [];
    }
    except.push(prefix);
  }
  return blocksOf(cidr, except).map((part) =>
    part.except.length === 0 ? { cidr: part.cidr } : { cidr: part.cidr, except: part.except },
  );
}

function bad(diagnostics: Diagnostics, field: string, message: string): [] {
  diagnostics.add('InvalidPeer', field, message, 'give ipBlock, or podSelector and namespaceSelector');
  return [];
}
