// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { runJson } from './fixtures/run-json.ts';

const namespace = `addon-${process.pid}`;
const pins = `/sys/fs/bpf/addon-tcx-${process.pid}`;
const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8' });

beforeAll(() => {
  mkdirSync(pins);
  ip('netns', 'add', namespace);
  ip('-n', namespace, 'link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
  for (const name of ['near', 'far']) ip('-n', namespace, 'link', 'set', name, 'up');
});
afterAll(() => {
  ip('netns', 'del', namespace);
  rmSync(pins, { recursive: true, force: true });
});

test('a tcx link attaches, is replaced in place, survives its owner and says when its device is gone', async () => {
  const ifindex = ip('-n', namespace, '-o', 'link', 'show', 'near').split(':')[0] ?? '';
  const inside = ['nsenter', `--net=/run/netns/${namespace}`];
  const steps = await runJson('./tcx-child.ts', inside, [pins, ifindex, 'far']);
  expect(steps).toEqual({
    created: { here: true, direction: 'ingress', program: 'count', defunct: false },
    order: ['count', 'jump'],
    closed: ['count'],
    egressBefore: [],
    egress: ['rewrite'],
    detached: { here: false, direction: 'egress', program: '', defunct: true, attached: [] },
    seen: 1,
    afterPinnedClose: ['count'],
    updated: { here: true, direction: 'ingress', program: 'rewrite', defunct: false },
    notSeen: 1,
    seenAgain: 2,
    absent: 'BPF_LINK_CREATE ENODEV: there is no such network interface in this network namespace',
    gone: { here: false, direction: 'ingress', program: '', defunct: true },
    updateGone: 'BPF_LINK_UPDATE ENOLINK: the interface of this link is gone: make a new link',
  });
}, 120_000);
