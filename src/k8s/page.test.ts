// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import { Page } from './page.ts';

const texts = (page: Page): string[] =>
  Array.from({ length: page.length }, (_, index) => page.item(index).toString());

describe('Page', () => {
  test('holds copies of its items, also those that make its buffer grow', () => {
    const page = new Page();
    const large = 'x'.repeat(700_000);
    for (const text of ['{}', large, '{"a":1}', large]) {
      const item = Buffer.from(text);
      page.add(item);
      item.fill(0);
    }
    expect(texts(page)).toEqual(['{}', large, '{"a":1}', large]);
  });

  test('is empty and usable again after clear', () => {
    const page = new Page();
    page.add(Buffer.from('first'));
    page.clear();
    expect(page.length).toBe(0);
    page.add(Buffer.from('second'));
    expect(texts(page)).toEqual(['second']);
  });
});
