// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Check } from './result.ts';

/** Every process that a test run starts inherits this variable, so that survivors are recognised. */
export const RUN_VARIABLE = 'CUBEPLANE_TEST_RUN';

const NETNS_DIRECTORY = '/run/netns';
const LABS_DIRECTORY = '/run/cubeplane-labs';
const BPF_FILE_SYSTEM = '/sys/fs/bpf';
/** How long what is being removed by the kernel or by a parent's wait() may take. */
const PATIENCE_MS = 5_000;

/** What is there that a test might leave behind. */
export interface Traces {
  readonly namespaces: ReadonlySet<string>;
  readonly pins: ReadonlySet<string>;
}

export function traces(): Traces {
  return { namespaces: new Set(names(NETNS_DIRECTORY)), pins: new Set(filesBelow(BPF_FILE_SYSTEM)) };
}

/**
 * One check each for processes, network namespaces and pins that a part left behind. What other runs on this machine
 * have at the same time is not counted where it can be told apart: namespaces of a lab whose owner lives.
 */
export async function leftoverChecks(part: string, run: string, before: Traces): Promise<Check[]> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const left = leftovers(run, before);
    const clean = Object.values(left).every((list) => list.length === 0);
    if (clean || Date.now() > deadline) {
      return Object.entries(left).map(([what, list]) => ({
        name: `${part} leaves no ${what} behind`,
        ok: list.length === 0,
        detail: list.slice(0, 20).join(', '),
      }));
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function leftovers(run: string, before: Traces): Record<string, string[]> {
  const now = traces();
  const others = labsOfLivingOwners();
  return {
    processes: processesOfRun(run),
    namespaces: [...now.namespaces].filter(
      (name) => !before.namespaces.has(name) && !others.some((id) => name.startsWith(`cpl-${id}-`)),
    ),
    pins: [...now.pins].filter(
      (path) => !before.pins.has(path) && !others.some((id) => path.startsWith(`cpl-${id}`)),
    ),
  };
}

/** Ids of labs (test/harness/lab.ts) that belong to a process which still runs, and so not to a part that has ended. */
function labsOfLivingOwners(): string[] {
  return names(LABS_DIRECTORY).filter((id) => {
    try {
      const owner = JSON.parse(readFileSync(join(LABS_DIRECTORY, id, 'owner.json'), 'utf8')) as {
        pid?: number;
      };
      return owner.pid != null && existsSync(`/proc/${owner.pid}`);
    } catch {
      return true; // being made or removed
    }
  });
}

function processesOfRun(run: string): string[] {
  const marker = `${RUN_VARIABLE}=${run}`;
  return names('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(marker);
      } catch {
        return false; // ended meanwhile, or a zombie
      }
    })
    .map((pid) => {
      try {
        return `${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim().slice(0, 80)}`;
      } catch {
        return pid;
      }
    });
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Paths of all files and folders. What other runs remove meanwhile is left out, and nothing else with it. */
function filesBelow(directory: string, prefix = ''): string[] {
  try {
    return readdirSync(join(directory, prefix), { withFileTypes: true }).flatMap((entry) => {
      const path = join(prefix, entry.name);
      return entry.isDirectory() ? [path, ...filesBelow(directory, path)] : [path];
    });
  } catch {
    return [];
  }
}
