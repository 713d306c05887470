// SPDX-License-Identifier: Apache-2.0

import type { CubeplaneObject } from '../../api/generated/types.ts';
import { GROUP } from '../../api/group.ts';
import { notSupported } from '../../api/not-supported.ts';
import { problemText } from '../../dataplane/sources/manifests/problem.ts';
import { readVersion } from '../../dataplane/sources/manifests/read-version.ts';
import { CliError, EXIT } from '../errors.ts';
import { readInputs } from '../inputs.ts';
import { infoOfKind, qualifiedName } from '../kinds.ts';

/** Checks files without any agent or cluster; prints every problem with its line. */
export async function validateFiles(paths: readonly string[]): Promise<void> {
  let problems = 0;
  let objects = 0;
  for (const { name, text } of await readInputs(paths)) {
    const version = readVersion(name, text, () => undefined);
    for (const problem of version.problems) process.stderr.write(`${problemText(problem)}\n`);
    problems += version.problems.length;
    for (const { object, line } of version.objects) {
      objects += 1;
      const info = infoOfKind(object.kind);
      if (info === undefined) continue;
      process.stdout.write(`${qualifiedName(info, object.metadata.name)} is valid\n`);
      if (info.group !== GROUP) continue;
      for (const { field, message, remedy } of notSupported(object as unknown as CubeplaneObject)) {
        process.stderr.write(
          `warning: ${name}:${line}: ${object.kind} ${object.metadata.name}: ${field}: ${message} (${remedy})\n`,
        );
      }
    }
  }
  if (problems > 0)
    throw new CliError(
      EXIT.refused,
      `${problems} ${problems === 1 ? 'problem' : 'problems'}`,
      'correct what is listed above',
    );
  if (objects === 0) throw new CliError(EXIT.refused, 'there is no object in the files', 'check the paths');
}
