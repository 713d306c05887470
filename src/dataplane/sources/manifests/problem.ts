// SPDX-License-Identifier: Apache-2.0

/** Why a file of a manifest directory was refused: where, which object, which field, what to do. */
export interface ManifestProblem {
  /** Name of the file, relative to the directory. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** `Kind namespace/name`; absent where the text is no object at all. */
  readonly object?: string;
  /** `spec.ports[0].port`. */
  readonly field?: string;
  /** One word, PascalCase. */
  readonly reason: string;
  readonly message: string;
  readonly remedy: string;
}

/** `web.yaml:12: Service default/web: spec.ports[0].port: 70000 is above 65535 (give a port from 1 to 65535)` */
export function problemText(problem: ManifestProblem): string {
  const where = [`${problem.file}:${problem.line}`, problem.object, problem.field].filter(Boolean).join(': ');
  return `${where}: ${problem.message} (${problem.remedy})`;
}
