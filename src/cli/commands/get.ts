// SPDX-License-Identifier: Apache-2.0
import { printWarnings, type SourceOptions, withView } from '../context.ts';
import { CliError, EXIT } from '../errors.ts';
import { type KindInfo, qualifiedName } from '../kinds.ts';
import { objectHeader, objectRow, objectTable, type TableOptions } from '../print/columns.ts';
import { fillTemplate } from '../print/json-path.ts';
import { findOne, type Resources, resourcesOf } from '../resources.ts';
import type { ObjectView, Query, ViewObject } from '../view/object-view.ts';

export interface GetOptions extends SourceOptions {
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly output?: string;
  readonly watch?: boolean;
  readonly showLabels?: boolean;
  readonly headers?: boolean;
}

const FORMATS = ['wide', 'json', 'yaml', 'name'];

export async function get(words: readonly string[], options: GetOptions): Promise<void> {
  const resources = resourcesOf(words);
  checkFormat(options.output);
  await withView(options, async (view) => {
    if (options.watch === true) await watch(view, resources, options);
    else await list(view, resources, options);
  });
}

function checkFormat(output: string | undefined): void {
  if (output === undefined || FORMATS.includes(output) || output.startsWith('jsonpath=')) return;
  throw new CliError(
    EXIT.usage,
    `there is no output format ${output}`,
    `use ${FORMATS.join(', ')} or jsonpath=TEMPLATE`,
  );
}

async function list(view: ObjectView, { infos, names }: Resources, options: GetOptions): Promise<void> {
  const groups: { info: KindInfo; objects: readonly ViewObject[] }[] = [];
  const query = queryOf(view, options);
  for (const info of infos) {
    if (names.length === 0) groups.push({ info, objects: await view.list(info, query) });
    else {
      const objects: ViewObject[] = [];
      for (const name of names) objects.push(await findOne(view, info, query.namespace, name));
      groups.push({ info, objects });
    }
  }
  await printWarnings(view);
  const objects = groups.flatMap((group) => group.objects);
  const { output } = options;
  if (output === 'json' || output === 'yaml') {
    const single = names.length === 1 && objects.length === 1;
    await printData(single ? objects[0] : { apiVersion: 'v1', kind: 'List', items: objects }, output);
  } else if (output === 'name') {
    for (const { info, objects: some } of groups) {
      for (const { metadata } of some) process.stdout.write(`${qualifiedName(info, metadata.name)}\n`);
    }
  } else if (output?.startsWith('jsonpath=')) {
    const template = output.slice('jsonpath='.length);
    for (const object of objects) process.stdout.write(fillTemplate(template, object));
  } else printTables(groups, view, query, options);
}

function printTables(
  groups: readonly { info: KindInfo; objects: readonly ViewObject[] }[],
  view: ObjectView,
  query: Query,
  options: GetOptions,
): void {
  const filled = groups.filter((group) => group.objects.length > 0);
  if (filled.length === 0) {
    const where = query.namespace === undefined ? '' : ` in namespace ${query.namespace}`;
    process.stderr.write(
      `No ${groups.map(({ info }) => info.plural).join(', ')} found${where} (${view.name}).\n`,
    );
  }
  const texts = filled.map(({ info, objects }) => {
    const lines = objectTable(info, objects, tableOptions(options, query, groups.length > 1));
    return (options.headers === false ? lines.slice(1) : lines).map((line) => `${line}\n`).join('');
  });
  process.stdout.write(texts.join('\n'));
}

function tableOptions(options: GetOptions, query: Query, qualified: boolean): TableOptions {
  return {
    wide: options.output === 'wide',
    showNamespace: query.namespace === undefined,
    qualified,
    showLabels: options.showLabels === true,
    now: new Date(),
  };
}

function queryOf(view: ObjectView, options: GetOptions): Query {
  const namespace = options.allNamespaces === true ? undefined : (options.namespace ?? view.defaultNamespace);
  return {
    ...(namespace === undefined ? {} : { namespace }),
    ...(options.selector === undefined ? {} : { labelSelector: options.selector }),
    ...(options.fieldSelector === undefined ? {} : { fieldSelector: options.fieldSelector }),
  };
}

export async function printData(value: unknown, format: 'json' | 'yaml'): Promise<void> {
  if (format === 'json') process.stdout.write(`${JSON.stringify(value, null, 4)}\n`);
  else {
    const { stringify } = await import('yaml');
    process.stdout.write(stringify(value, { aliasDuplicateObjects: false }));
  }
}

/** One line an event, as it comes, with the widths that the first lines had; ends with an interrupt. */
async function watch(view: ObjectView, { infos, names }: Resources, options: GetOptions): Promise<void> {
  const [info, more] = infos;
  if (info === undefined || more !== undefined || names.length > 1) {
    throw new CliError(EXIT.usage, 'a watch is of one kind, or of one object', 'leave out the others');
  }
  const query = { ...queryOf(view, options), ...(names[0] === undefined ? {} : { name: names[0] }) };
  const stop = new AbortController();
  const end = () => stop.abort();
  process.once('SIGINT', end).once('SIGTERM', end);
  let widths: number[] | undefined;
  for await (const { object } of view.watch(info, query, stop.signal)) {
    if (options.output === 'json' || options.output === 'yaml') {
      if (options.output === 'yaml') process.stdout.write('---\n');
      await printData(object, options.output);
      continue;
    }
    if (options.output === 'name') {
      process.stdout.write(`${qualifiedName(info, object.metadata.name)}\n`);
      continue;
    }
    const settings = tableOptions(options, query, false);
    const rows = [objectRow(info, object, settings)];
    if (widths === undefined) {
      const header = objectHeader(info, settings);
      widths = header.map((cell, column) => Math.max(cell.length, rows[0]?.[column]?.length ?? 0));
      if (options.headers !== false) rows.unshift(header);
    }
    const sized = widths;
    for (const row of rows) {
      const cells = row.map((cell, column) => cell.padEnd((sized[column] ?? 0) + 3));
      process.stdout.write(`${cells.join('').trimEnd()}\n`);
    }
  }
}
