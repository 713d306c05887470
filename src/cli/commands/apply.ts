// SPDX-License-Identifier: Apache-2.0
import { type SourceOptions, withView } from '../context.ts';
import { CliError, EXIT } from '../errors.ts';
import { objectsOf, readInputs } from '../inputs.ts';
import { infoOfKind, type KindInfo, qualifiedName } from '../kinds.ts';
import { printData } from './get.ts';

export interface ApplyOptions extends SourceOptions {
  readonly filename: readonly string[];
  readonly namespace?: string;
  readonly dryRun?: boolean | string;
  readonly force?: boolean;
  readonly output?: string;
}

export async function apply(options: ApplyOptions): Promise<void> {
  const { output } = options;
  if (output !== undefined && !['name', 'json', 'yaml'].includes(output)) {
    throw new CliError(EXIT.usage, `there is no output format ${output} here`, 'use name, json or yaml');
  }
  const inputs = objectsOf(await readInputs(options.filename), options.namespace);
  if (inputs.length === 0) throw new CliError(EXIT.refused, 'there is no object in the files', 'check -f');
  await withView(options, async (view) => {
    const dryRun = options.dryRun !== undefined && options.dryRun !== false && options.dryRun !== 'none';
    const results = await view.apply(inputs, { dryRun, force: options.force === true });
    for (const { action, object } of results) {
      const name = qualifiedName(infoOfKind(object.kind) as KindInfo, object.metadata.name);
      if (output === 'name') process.stdout.write(`${name}\n`);
      else if (output === undefined) process.stdout.write(`${name} ${action}${dryRun ? ' (dry run)' : ''}\n`);
    }
    if (output !== 'json' && output !== 'yaml') return;
    const objects = results.map((result) => result.object);
    await printData(
      objects.length === 1 ? objects[0] : { apiVersion: 'v1', kind: 'List', items: objects },
      output,
    );
  });
}
