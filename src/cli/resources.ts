// SPDX-License-Identifier: Apache-2.0

import { CliError, EXIT } from './errors.ts';
import { CATEGORY, KIND_INFOS, type KindInfo, kindsOf } from './kinds.ts';
import type { ObjectView, ViewObject } from './view/object-view.ts';

/** What the words after a command mean: kinds, and names where some are given. */
export interface Resources {
  readonly infos: readonly KindInfo[];
  readonly names: readonly string[];
}

/**
 * `cubes`, `cube a b`, `cubes,cubelinks`, `cube/a`, `cubeplane` (all kinds of the group).
 *
 * @throws CliError for words that are no kind, with the kinds there are.
 */
export function resourcesOf(words: readonly string[]): Resources {
  const [first = '', ...rest] = words;
  if (first === '') throw new CliError(EXIT.usage, 'which kind?', kindsHelp());
  if (first.includes('/')) {
    const [kind = '', name = ''] = splitOnce(first, '/');
    const others = rest.map((word) => splitOnce(word, '/'));
    if (name === '' || others.some(([other, called]) => other !== kind || called === '')) {
      throw new CliError(
        EXIT.usage,
        `cannot read ${words.join(' ')}`,
        'write KIND/NAME for each, all of one kind',
      );
    }
    return { infos: infosOf(kind), names: [name, ...others.map(([, called]) => called)] };
  }
  const infos = first.split(',').flatMap(infosOf);
  if (rest.length > 0 && infos.length > 1) {
    throw new CliError(
      EXIT.usage,
      'names go with one kind only',
      `write, for instance: ${infos[0]?.singular} ${rest[0]}`,
    );
  }
  return { infos, names: rest };
}

function infosOf(word: string): KindInfo[] {
  const infos = kindsOf(word);
  if (infos.length === 0)
    throw new CliError(EXIT.usage, `there is no kind ${JSON.stringify(word)}`, kindsHelp());
  return infos;
}

function kindsHelp(): string {
  const names = KIND_INFOS.map(({ plural, shortNames }) => [plural, ...shortNames].join('|'));
  return `kinds: ${names.join(', ')}, or ${CATEGORY} for all of its own`;
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** `Cube "a" not found`, with the namespace that was looked into. */
export function notFound(
  view: ObjectView,
  info: KindInfo,
  namespace: string | undefined,
  name: string,
): CliError {
  const where = namespace === undefined ? '' : ` in namespace ${namespace}`;
  const command = `cubeplane get ${info.plural}${info.namespaced ? ' -A' : ''}`;
  return new CliError(
    EXIT.notFound,
    `${info.kind} ${name} not found${where} (${view.name})`,
    `see what is there: ${command}`,
  );
}

/**
 * The one object of that name. Without a namespace a view of all of them is searched, and finding two is an error.
 *
 * @throws CliError when there is none, or more than one.
 */
export async function findOne(
  view: ObjectView,
  info: KindInfo,
  namespace: string | undefined,
  name: string,
): Promise<ViewObject> {
  const place = namespace ?? view.defaultNamespace;
  const found = await view.list(info, { name, ...(place === undefined ? {} : { namespace: place }) });
  if (found.length > 1) {
    const namespaces = found.map((object) => object.metadata.namespace).join(', ');
    throw new CliError(
      EXIT.usage,
      `${info.kind} ${name} is in several namespaces: ${namespaces}`,
      'choose one with -n NAMESPACE',
    );
  }
  const [object] = found;
  if (object === undefined) throw notFound(view, info, info.namespaced ? place : undefined, name);
  return object;
}
