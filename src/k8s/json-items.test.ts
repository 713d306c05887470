// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ItemSplitter, LineSplitter } from './json-items.ts';

/** Pushes `text` in pieces of the given sizes (repeated) and gives what came out. */
function split(text: string, sizes: readonly number[]): { items: unknown[]; rest: unknown } {
  const splitter = new ItemSplitter();
  const items: unknown[] = [];
  const bytes = Buffer.from(text);
  let turn = 0;
  for (let at = 0; at < bytes.length; ) {
    const size = sizes[turn++ % sizes.length] ?? 1;
    // A copy, as a socket's chunks are buffers of their own.
    splitter.push(Buffer.from(bytes.subarray(at, at + size)), (item) =>
      items.push(JSON.parse(item.toString())),
    );
    at += size;
  }
  return { items, rest: splitter.finish() };
}

describe('ItemSplitter', () => {
  it('finds metadata before the items, as built-in kinds have it', () => {
    const text =
      '{"kind":"ServiceList","metadata":{"resourceVersion":"7"},"items":[{"a":1},{"b":[{"c":"}"}]}]}';
    expect(split(text, [9])).toEqual({
      items: [{ a: 1 }, { b: [{ c: '}' }] }],
      rest: { kind: 'ServiceList', metadata: { resourceVersion: '7' }, items: [] },
    });
  });

  it('finds metadata after the items, as custom resources have it', () => {
    const text =
      '{"apiVersion":"v1","items":[{"a":"\\"]"}],"metadata":{"continue":"x","resourceVersion":"8"}}';
    expect(split(text, [4])).toEqual({
      items: [{ a: '"]' }],
      rest: { apiVersion: 'v1', items: [], metadata: { continue: 'x', resourceVersion: '8' } },
    });
  });

  it('is not misled by "items" inside an object or as a value', () => {
    const text = '{"kind":"items","metadata":{"items":[{"no":1}]},"items":[{"items":[{"deep":1}]}]}';
    expect(split(text, [1000]).items).toEqual([{ items: [{ deep: 1 }] }]);
  });

  it('reports an answer that was cut short', () => {
    expect(() => split('{"items":[{"a":1}', [5])).toThrow('in the middle');
  });

  it('gives every list back whatever the chunks are', () => {
    const item = fc.dictionary(fc.string(), fc.jsonValue());
    fc.assert(
      fc.property(
        fc.array(item, { maxLength: 6 }),
        fc.boolean(),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
        (items, metadataFirst, sizes) => {
          const plain: unknown = JSON.parse(JSON.stringify(items));
          const metadata = { resourceVersion: '1' };
          const list = metadataFirst ? { metadata, items } : { items, metadata };
          const out = split(JSON.stringify(list), sizes);
          expect(out.items).toEqual(plain);
          expect(out.rest).toEqual({ metadata, items: [] });
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('LineSplitter', () => {
  it('joins lines over chunks and leaves out empty ones', () => {
    const splitter = new LineSplitter();
    const lines: string[] = [];
    for (const chunk of ['a', 'b\n\nc', 'd', '\ne\nf']) {
      splitter.push(Buffer.from(chunk), (line) => lines.push(line.toString()));
    }
    expect(lines).toEqual(['ab', 'cd', 'e']);
  });
});
