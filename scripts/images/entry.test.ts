// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from '@jest/globals';
import { file, folder, hashOf, inOrder, link, text } from './entry.ts';

describe('entries of a layer', () => {
  it('have the folders above them, in the order of their paths', () => {
    const entries = inOrder([text('usr/lib/b', 'b'), folder('usr', 0o700), link('usr/lib/a', '/b')]);
    expect(entries.map(({ path }) => path)).toEqual(['usr', 'usr/lib', 'usr/lib/a', 'usr/lib/b']);
    expect(entries[0]).toEqual(folder('usr', 0o700));
  });

  it('hash the same in whatever order they were collected', () => {
    const some = [text('a', '1'), text('b/c', '2'), link('d', '/a')];
    expect(hashOf(inOrder(some.toReversed()))).toBe(hashOf(inOrder(some)));
  });

  it.each([
    ['content', text('a', '2')],
    ['path', text('b', '1')],
    ['mode', { ...text('a', '1'), mode: 0o755 }],
    ['type', link('a', '1')],
  ])('hash another way with another %s', (_what, other) => {
    expect(hashOf([other])).not.toBe(hashOf([text('a', '1')]));
  });

  it('may not stand there twice', () => {
    expect(() => inOrder([text('a', '1'), file('a', '/etc/passwd')])).toThrow('a is in the layer twice');
  });
});
