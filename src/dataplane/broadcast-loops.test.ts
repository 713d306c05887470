// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import { broadcastLoops } from './broadcast-loops.ts';

/** `b1 b2` is a link between two cubes; the first letter says what they are: bridge, router, forwarder. */
function loops(...texts: string[]): string[] {
  const links = new Map(
    texts.map((text, i) => [
      `${i}`,
      {
        ends: text
          .split(' ')
          .map((cube) => (cube === 'if' ? { type: 'Interface' } : { type: 'Cube' as const, cube })),
      },
    ]),
  );
  const segmentOf = (cube: string) => ({ b: 'joins' as const, r: 'ends' as const })[cube[0] ?? ''];
  return broadcastLoops(links, segmentOf).map(
    ({ link, cubes }) => `${texts[Number(link)]}: ${cubes.join(' ')}`,
  );
}

describe('rings of links', () => {
  test('two wires between two bridges', () => {
    expect(loops('b1 b2', 'b1 b2')).toEqual(['b1 b2: b1 b2']);
  });

  test('a bridge linked to itself', () => {
    expect(loops('b1 b1')).toEqual(['b1 b1: b1']);
  });

  test('a ring of three, closed by the last link', () => {
    expect(loops('b1 b2', 'b2 b3', 'b3 b1')).toEqual(['b3 b1: b3 b2 b1']);
  });

  test('the links that stay are in no ring, so a second one is found too', () => {
    expect(loops('b1 b2', 'b2 b3', 'b3 b1', 'b3 b4', 'b4 b2')).toEqual([
      'b3 b1: b3 b2 b1',
      'b4 b2: b4 b3 b2',
    ]);
  });

  test('a cube that only passes frames on does not break it', () => {
    expect(loops('b1 f1', 'f1 b2', 'b2 b1')).toEqual(['b2 b1: b2 f1 b1']);
  });

  test('a router does', () => {
    expect(loops('b1 r1', 'r1 b2', 'b2 b1')).toEqual([]);
  });

  test('without a bridge nothing is copied', () => {
    expect(loops('f1 f2', 'f1 f2', 'f2 b1', 'b1 if')).toEqual([]);
  });

  test('a tree, and interfaces, are no ring', () => {
    expect(loops('b1 b2', 'b1 b3', 'b3 b4', 'b1 if', 'b4 if')).toEqual([]);
  });
});
