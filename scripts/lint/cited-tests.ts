// SPDX-License-Identifier: Apache-2.0
/**
 * Tests that a page cites, so that a claim does not outlive what proves it. Each is cited in a cell of a table, several parted by
 * `<br>`: a link to the file, then the name as in the file, with `…` in the place of what is filled in when it runs.
 */
import ts from 'typescript';

export interface Citation {
  readonly path: string;
  readonly name: string;
}

const CITATION = /^\[`([^`]+)`\]\(\.\.\/([^)]+)\) (.+)$/;

/** Cells of the rows of the table whose last head is `head`. */
function rowsOf(page: string, head: string): string[][] {
  const lines = page.split('\n');
  const first = lines.findIndex((line) => line.endsWith(`| ${head} |`));
  const end = lines.findIndex((line, i) => i > first && !line.startsWith('|'));
  if (first < 0) throw new Error(`no table with the head ${head}`);
  return lines.slice(first + 2, end < 0 ? undefined : end).map((line) => line.slice(1, -1).split('|'));
}

/** What each row of that table cites in its last column. @throws Error for a row that cites nothing, or not in this way */
export function citationsOf(page: string, head: string): Citation[][] {
  return rowsOf(page, head).map((cells) =>
    (cells.at(-1) ?? '').split('<br>').map((text) => {
      const [, shown, path, name] = CITATION.exec(text.trim()) ?? [];
      if (path === undefined || name === undefined || shown !== path)
        throw new Error(`no citation of a test: ${text.trim() || '(empty)'}`);
      return { path, name: name.trim() };
    }),
  );
}

/** Names of the tests in a source file that are run: `…` for placeholders, skipped ones left out. */
export function testNamesOf(source: string): string[] {
  const names: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) {
      const [first] = node.arguments;
      if (first !== undefined && isTest(node.expression)) {
        const name = nameOf(first);
        if (name !== undefined) names.push(name);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('a.test.ts', source, ts.ScriptTarget.Latest));
  return names;
}

/** `test`, `it`, and what `each` of them returns. */
function isTest(callee: ts.Expression): boolean {
  if (ts.isIdentifier(callee)) return callee.text === 'test' || callee.text === 'it';
  const each = ts.isCallExpression(callee)
    ? callee.expression
    : ts.isTaggedTemplateExpression(callee)
      ? callee.tag
      : undefined;
  return (
    each !== undefined &&
    ts.isPropertyAccessExpression(each) &&
    each.name.text === 'each' &&
    isTest(each.expression)
  );
}

function nameOf(argument: ts.Expression): string | undefined {
  if (ts.isStringLiteralLike(argument)) return argument.text.replace(/%[sdifjop]/g, '…');
  if (!ts.isTemplateExpression(argument)) return undefined;
  return argument.head.text + argument.templateSpans.map(({ literal }) => `…${literal.text}`).join('');
}
