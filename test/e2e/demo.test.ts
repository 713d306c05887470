// SPDX-License-Identifier: Apache-2.0
/** The demo through a real API server, as a user runs it: nothing fails and nothing is left. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { cgroupRoot } from '../harness/cgroup.ts';
import { labDirectory, labNamespaces, labPins, removeLab } from '../harness/lab.ts';

const MAIN = join(import.meta.dirname, '../../scripts/demo/main.ts');
const TIMEOUT_MS = 150_000;

/** The run that a process owns. */
function labOf(pid: number | undefined): string | undefined {
  const all = labDirectory('');
  return (existsSync(all) ? readdirSync(all) : []).find((id) => {
    try {
      return JSON.parse(readFileSync(join(labDirectory(id), 'owner.json'), 'utf8')).pid === pid;
    } catch {
      return false; // being made or removed by somebody else
    }
  });
}

test(
  'it works on a cluster and leaves nothing',
  async () => {
    const child = spawn(process.execPath, [MAIN, '--kubernetes'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
    let id: string | undefined;
    let most = 0;
    const watch = setInterval(() => {
      id ??= labOf(child.pid);
      if (id !== undefined) most = Math.max(most, labNamespaces(id).length);
    }, 200);
    try {
      const status = await new Promise<number | null>((resolve) => child.once('exit', resolve));
      clearInterval(watch);
      expect({ status, text }).toMatchObject({ status: 0 });
      expect(text).toMatch(/\d+ requests during all of this, 0 failed/);
      // It was seen while it was there, so that its absence now says something.
      if (id === undefined) throw new Error('the run of the demo was never seen');
      expect(most).toBeGreaterThan(7);
      expect({
        namespaces: labNamespaces(id),
        pins: existsSync(labPins(id)),
        directory: existsSync(labDirectory(id)),
        // The kernel removes no cgroup that a process is still in.
        processes: existsSync(join(await cgroupRoot(), `cpl-${id}`)),
      }).toEqual({ namespaces: [], pins: false, directory: false, processes: false });
    } finally {
      clearInterval(watch);
      if (child.exitCode === null) child.kill('SIGTERM');
      else if (id !== undefined) await removeLab(id);
    }
  },
  TIMEOUT_MS,
);
