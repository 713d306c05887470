// SPDX-License-Identifier: Apache-2.0
import { printWarnings, type SourceOptions, withView } from '../context.ts';
import { description } from '../print/description.ts';
import { findOne, resourcesOf } from '../resources.ts';
import type { ViewObject } from '../view/object-view.ts';

export interface DescribeOptions extends SourceOptions {
  readonly namespace?: string;
  readonly selector?: string;
}

export async function describe(words: readonly string[], options: DescribeOptions): Promise<void> {
  const { infos, names } = resourcesOf(words);
  await withView(options, async (view) => {
    const objects: ViewObject[] = [];
    const namespace = options.namespace ?? view.defaultNamespace;
    for (const info of infos) {
      if (names.length > 0)
        for (const name of names) objects.push(await findOne(view, info, namespace, name));
      else {
        const query = {
          ...(namespace === undefined ? {} : { namespace }),
          ...(options.selector === undefined ? {} : { labelSelector: options.selector }),
        };
        objects.push(...(await view.list(info, query)));
      }
    }
    await printWarnings(view);
    const texts: string[] = [];
    for (const object of objects) texts.push(description(object, await view.events(object), new Date()));
    process.stdout.write(texts.join('\n\n'));
  });
}
