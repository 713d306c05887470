// SPDX-License-Identifier: Apache-2.0
/** ServiceChains that an installation brings as text, because kubectl takes none before their kind is there. Pure. */
import { parseManifest } from '../api/manifest-text.ts';
import { validate } from '../api/validate.ts';
import type { KubeObject } from '../k8s/resource.ts';

export interface Provider {
  /** As they were written, without defaults: what is left out belongs to whoever sets it. By name. */
  readonly chains: ReadonlyMap<string, KubeObject>;
  /** What is wrong, with file, object, field and remedy. The rest counts. */
  readonly problems: readonly string[];
}

/** @param files their texts by name. @param namespace of the chains: the operator may write no others. */
export function readProvider(files: ReadonlyMap<string, string>, namespace: string): Provider {
  const chains = new Map<string, KubeObject>();
  const problems: string[] = [];
  for (const [file, text] of files) {
    const parsed = parseManifest(text);
    for (const { line, message } of parsed.problems) problems.push(`${file}: line ${line}: ${message}`);
    for (const { value } of parsed.documents) {
      const problem = problemOf(value, namespace);
      const name = (value as KubeObject).metadata?.name ?? '';
      if (problem !== undefined) problems.push(`${file}: ${problem}`);
      else if (chains.has(name))
        problems.push(`${file}: ServiceChain ${name} stands there twice: the first one counts; remove one`);
      else chains.set(name, value as KubeObject);
    }
  }
  return { chains, problems };
}

function problemOf(chain: unknown, namespace: string): string | undefined {
  const checked = validate(chain);
  if (!checked.ok) return checked.message;
  const { kind, metadata } = checked.object;
  const called = `${kind} ${metadata.namespace}/${metadata.name}`;
  if (kind !== 'ServiceChain')
    return `${called}: only ServiceChains can be brought here; apply it by kubectl`;
  if (metadata.namespace !== namespace)
    return `${called}: metadata.namespace: the operator writes chains in ${namespace} only; use that`;
  return undefined;
}
