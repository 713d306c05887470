// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { KubeClient } from './client.ts';
import { errorOfStatus } from './errors.ts';
import { type EventInput, EventRecorder } from './events.ts';
import { SERVICES } from './resource.ts';

interface Written {
  verb: string;
  body: Record<string, unknown>;
}

let written: Written[];
let gone: boolean;

const client = {
  create: async (_type: unknown, body: Record<string, unknown>) => {
    written.push({ verb: 'create', body });
  },
  mergePatch: async (_type: unknown, _at: unknown, body: Record<string, unknown>) => {
    if (gone) throw errorOfStatus(404, '', { object: 'Event', verb: 'patch' });
    written.push({ verb: 'patch', body });
  },
} as unknown as KubeClient;

const target = (name = 'web') => ({
  type: SERVICES,
  metadata: { namespace: 'default', name, uid: `u-${name}` },
});
const input = (note: string): EventInput => ({
  type: 'Warning',
  reason: 'InvalidAddress',
  action: 'Translate',
  note,
});

beforeEach(() => {
  written = [];
  gone = false;
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

const recorder = (options: object = {}): EventRecorder =>
  new EventRecorder({ client, controller: 'cubeplane.io/operator', instance: 'pod-1', ...options });

describe('events', () => {
  it('are about the object, with reason, action and a note of at most 1024 bytes', async () => {
    const events = recorder();
    events.record(target(), input('ä'.repeat(1000)));
    await events.flush();
    expect(written).toHaveLength(1);
    expect(written[0]?.body).toMatchObject({
      regarding: { apiVersion: 'v1', kind: 'Service', namespace: 'default', name: 'web', uid: 'u-web' },
      reason: 'InvalidAddress',
      action: 'Translate',
      type: 'Warning',
      reportingController: 'cubeplane.io/operator',
      reportingInstance: 'pod-1',
    });
    expect(Buffer.byteLength(String(written[0]?.body.note))).toBeLessThanOrEqual(1024);
    expect(String(written[0]?.body.note)).toMatch(/^ä+…$/);
  });

  it('said again become one series, updated at most every ten seconds', async () => {
    const events = recorder();
    for (let i = 0; i < 5; i++) events.record(target(), input('same'));
    await jest.advanceTimersByTimeAsync(9_000);
    expect(written.map(({ verb }) => verb)).toEqual(['create']);
    await jest.advanceTimersByTimeAsync(2_000);
    expect(written.map(({ verb }) => verb)).toEqual(['create', 'patch']);
    expect(written[1]?.body).toMatchObject({ series: { count: 5 } });
  });

  it('begin anew after six minutes of silence, or when the API server has removed the event', async () => {
    const events = recorder();
    events.record(target(), input('same'));
    await jest.advanceTimersByTimeAsync(7 * 60_000);
    events.record(target(), input('same'));
    gone = true;
    events.record(target(), input('same'));
    await jest.advanceTimersByTimeAsync(11_000);
    events.record(target(), input('same'));
    await events.flush();
    expect(written.map(({ verb }) => verb)).toEqual(['create', 'create', 'create']);
  });

  it('of one object are limited, those of others are not', async () => {
    const events = recorder({ burst: 3, refillMs: 60_000 });
    for (let i = 0; i < 10; i++) events.record(target(), input(`note ${i}`));
    events.record(target('other'), input('note'));
    await events.flush();
    expect(written).toHaveLength(4);
    expect(events.dropped).toBe(7);
    await jest.advanceTimersByTimeAsync(60_000);
    events.record(target(), input('later'));
    await events.flush();
    expect(written).toHaveLength(5);
  });
});
