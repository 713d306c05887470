// SPDX-License-Identifier: Apache-2.0
/** The reflector's decisions, on answers written by hand; test/e2e/operator-runtime.test.ts has the real API server. */
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from '@jest/globals';
import { Cache } from './cache.ts';
import type { KubeClient, RequestOptions } from './client.ts';
import { errorOfStatus } from './errors.ts';
import { Reflector, type ReflectorOptions } from './reflector.ts';
import { type KubeObject, SERVICES } from './resource.ts';

type Answer = { body: string } | { status: number } | 'hang';

const object = (name: string, resourceVersion: string): KubeObject => ({
  metadata: { name, resourceVersion },
});
const list = (resourceVersion: string, items: KubeObject[], token = ''): Answer => ({
  body: JSON.stringify({ kind: 'ServiceList', metadata: { resourceVersion, continue: token }, items }),
});
const events = (...all: [string, object][]): Answer => ({
  body: all.map(([type, of]) => `${JSON.stringify({ type, object: of })}\n`).join(''),
});

let running: Reflector<string> | undefined;
afterEach(async () => {
  await running?.stop();
});

/** Runs a reflector over answers in turn; after the last one every watch hangs. */
function reflect(
  answers: Answer[],
  options: Partial<ReflectorOptions<string>> = {},
): { cache: Cache<string>; asked: string[]; changes: string[]; reflector: Reflector<string> } {
  const asked: string[] = [];
  const client = {
    stream: async ({ query = {}, signal }: RequestOptions) => {
      const { watch, limit, continue: token, resourceVersion } = query;
      asked.push(
        watch === true ? `watch ${resourceVersion}` : `list ${limit ?? 'all'} ${token ?? ''}`.trim(),
      );
      const answer = answers.shift() ?? 'hang';
      if (answer === 'hang') {
        const body = new Readable({ read: () => undefined });
        signal?.addEventListener('abort', () => body.destroy(new Error('aborted')));
        return { body };
      }
      if ('status' in answer) throw errorOfStatus(answer.status, '', { object: 'services', verb: 'get' });
      return { body: Readable.from([Buffer.from(answer.body)]) };
    },
  } as unknown as KubeClient;
  const cache = new Cache<string>();
  const changes: string[] = [];
  cache.onChange((change) => changes.push(`${change.type} ${change.key}`));
  const reflector = new Reflector<string>({
    client,
    type: SERVICES,
    cache,
    transform: ({ metadata }) => metadata.resourceVersion,
    backoff: { baseMs: 1, maxMs: 2 },
    ...options,
  });
  running = reflector;
  reflector.start();
  return { cache, asked, changes, reflector };
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !holds(); i++) await sleep(2);
  expect(holds()).toBe(true);
}

describe('a reflector', () => {
  it('lists page after page, then watches from the version of the list', async () => {
    const { cache, asked, reflector } = reflect([
      list('5', [object('a', '1')], 'more'),
      list('5', [object('b', '2')]),
    ]);
    await cache.synced;
    await until(() => asked.length === 3);
    expect(asked).toEqual(['list 250', 'list 250 more', 'watch 5']);
    expect([...cache.keys()]).toEqual(['a', 'b']);
    expect(reflector.health()).toMatchObject({ state: 'Watching', lists: 1, synced: true, objects: 2 });
  });

  it('follows events, remembers the version of bookmarks, and goes on there when the server closes', async () => {
    const { asked, changes } = reflect([
      list('5', [object('a', '1')]),
      events(['ADDED', object('b', '6')], ['MODIFIED', object('a', '7')], ['DELETED', object('b', '8')]),
      events(['BOOKMARK', { metadata: { resourceVersion: '19' } }]),
    ]);
    await until(() => asked.length === 4);
    expect(changes).toEqual(['added a', 'added b', 'updated a', 'deleted b']);
    expect(asked).toEqual(['list 250', 'watch 5', 'watch 8', 'watch 19']);
  });

  it('lists again after 410 and finds what was deleted meanwhile, without telling what stayed as it was', async () => {
    const { asked, changes } = reflect([
      list('5', [object('a', '1'), object('b', '2')]),
      events(['ERROR', { code: 410, message: 'too old resource version', metadata: {} }]),
      list('30', [object('b', '2'), object('c', '29')]),
    ]);
    await until(() => asked.length === 4);
    expect(changes).toEqual(['added a', 'added b', 'added c', 'deleted a']);
    expect(asked.slice(2)).toEqual(['list 250', 'watch 30']);
  });

  it('lists without pages when the continue token has expired, and removes nothing before that list is whole', async () => {
    const { cache, asked, changes } = reflect([
      list('5', [object('a', '1')], 'more'),
      { status: 410 },
      list('9', [object('a', '1'), object('b', '2')]),
    ]);
    await cache.synced;
    await until(() => asked.length === 4);
    expect(asked).toEqual(['list 250', 'list 250 more', 'list all', 'watch 9']);
    expect(changes).toEqual(['added a', 'added b']);
  });

  it('lists again when the versions of the server went back: its store was restored', async () => {
    const { asked, changes } = reflect([
      list('1000', [object('a', '900')]),
      events(['BOOKMARK', { metadata: { resourceVersion: '77' } }]),
      list('78', [object('b', '70')]),
    ]);
    await until(() => asked.length === 4);
    expect(asked.slice(2)).toEqual(['list 250', 'watch 78']);
    expect(changes).toEqual(['added a', 'added b', 'deleted a']);
  });

  it('keeps trying after errors, and keeps what it has', async () => {
    const { cache, asked } = reflect([
      list('5', [object('a', '1')]),
      { status: 500 },
      { status: 403 },
      { status: 429 },
    ]);
    await until(() => asked.length === 5);
    expect(asked.slice(1)).toEqual(['watch 5', 'watch 5', 'watch 5', 'watch 5']);
    expect(cache.get('a')).toBe('1');
  });

  it('takes an optional kind that the server does not know for none, asks again, and finds it gone again', async () => {
    const { cache, asked, changes, reflector } = reflect(
      [{ status: 404 }, { status: 404 }, list('5', [object('a', '1')]), { status: 404 }],
      { optional: true, absentMs: 5 },
    );
    await cache.synced;
    expect([cache.size, reflector.health().failures]).toEqual([0, 0]);
    await until(() => asked.length >= 5);
    expect(changes).toEqual(['added a', 'deleted a']);
    expect(asked.slice(0, 5)).toEqual(['list 250', 'list 250', 'list 250', 'watch 5', 'list 250']);
  });

  it('cuts a silent watch and goes on where it was', async () => {
    const { asked, reflector } = reflect([list('5', [])], { idleTimeoutMs: 20 });
    await until(() => asked.length >= 3);
    expect(asked.slice(0, 3)).toEqual(['list 250', 'watch 5', 'watch 5']);
    expect(reflector.health().silent).toBeGreaterThan(0);
  });

  it('keeps the entry before when an object cannot be taken in, and goes on with the others', async () => {
    const { cache, asked } = reflect(
      [
        list('5', [object('a', '1'), object('b', '2')]),
        events(['MODIFIED', object('a', '6')], ['MODIFIED', object('b', '7')]),
      ],
      {
        transform: ({ metadata }) => {
          if (metadata.resourceVersion === '6') throw new Error('odd');
          return metadata.resourceVersion;
        },
      },
    );
    await until(() => asked.length === 3);
    expect([cache.get('a'), cache.get('b')]).toEqual(['1', '7']);
  });

  it('tells nobody of an object that means the same, and leaves out what the transform does not want', async () => {
    const { cache, asked, changes } = reflect(
      [list('5', [object('a', '1'), object('skip', '2')]), events(['MODIFIED', object('a', '6')])],
      {
        transform: ({ metadata }) => (metadata.name === 'skip' ? undefined : 'same'),
        same: (before, after) => before === after,
      },
    );
    await until(() => asked.length === 3);
    expect(changes).toEqual(['added a']);
    expect(cache.versionOf('a')).toBe('6');
  });
});
