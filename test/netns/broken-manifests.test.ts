// SPDX-License-Identifier: Apache-2.0
/**
 * Broken manifests, one after the other, in the directory of a running agent under load: each is refused with its reason,
 * object, field and remedy; the kernel stays as it was and no request fails.
 */
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { graphFixtures } from '../fixtures/graph.ts';
import { fixtures } from '../fixtures/manifests.ts';
import type { Pod } from '../harness/topology.ts';
import { type Load, startLoad, startServer } from '../harness/traffic.ts';
import { until } from '../harness/until.ts';
import { type KernelState, kernelState } from './support/kernel-state.ts';
import { nodeObject, vipsOf } from './support/manifests.ts';
import { named, PORT, TARGET } from './support/services.ts';
import { conditionOf, FAMILIES, openTwoNodes, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(120_000);

let FILE = '';

let lab: TwoNodes;
let client: Pod;
const loads: Load[] = [];
/** Before the test. */
let kernel: KernelState;
let files = 0;

const currentKernel = (): Promise<KernelState> => {
  const { counters, node } = lab.worker(0);
  return kernelState(counters.pins.nodeRoot, node);
};

/** What the kernel holds when half a second has changed nothing. */
async function settled(): Promise<KernelState> {
  for (let last = ''; ; ) {
    const now = await currentKernel();
    if (JSON.stringify(now) === last) return now;
    last = JSON.stringify(now);
    await sleep(500);
  }
}

/** Names of pins and devices; undefined while something is being removed. */
async function kernelNames(): Promise<string | undefined> {
  try {
    return Object.keys(await currentKernel()).join();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const noProblems = async (): Promise<true | undefined> => {
  const report = await lab.report(0);
  return report !== undefined && report.failure === undefined && report.problems.length === 0
    ? true
    : undefined;
};

beforeAll(async () => {
  lab = await openTwoNodes('broken manifests test', {
    nodes: 1,
    chain(chain) {
      // Every map is read before and after each manifest.
      chain.spec.cubes[0].loadBalancer.sessions = { maxPicks: 4096, maxBackends: 1024 };
    },
  });
  client = await lab.addPod(0, 'client', 10);
  const backend = await lab.addPod(0, 'near', 11);
  await startServer(backend.namespace, backend.name, TARGET);
  lab.writeService({ name: 'web', number: 10, ports: named, backends: [backend] });
  await lab.untilFrontends(0, 4);
  for (const family of FAMILIES) {
    loads.push(await startLoad(client.namespace, vipsOf(10)[family], PORT, { every: 20, long: 2 }));
  }
});
beforeEach(async () => {
  // A name of its own each, so that no report is about the one before.
  FILE = `broken-${++files}.yaml`;
  kernel = await currentKernel();
});
afterEach(async () => {
  if (!existsSync(join(lab.manifests.directory, FILE))) return;
  lab.manifests.remove(FILE);
  await until('the problem is gone', noProblems);
});
afterAll(async () => {
  await lab?.close();
});

test('there are at least 30 kinds of broken manifests', () => {
  expect(fixtures('invalid').length + graphFixtures().length).toBeGreaterThanOrEqual(30);
});

describe('a file that the schema refuses', () => {
  const withOld = fixtures('invalid').filter(({ old }) => old !== undefined);

  test.each(
    fixtures('invalid')
      .filter(({ old }) => old === undefined)
      .map((fixture) => [fixture.name, fixture] as const),
  )('%s', async (_, { path, reason, field }) => {
    lab.manifests.writeText(FILE, readFileSync(path, 'utf8'));
    const problem = await until('a problem is reported', async () =>
      (await lab.report(0))?.problems.find(({ file }) => file === FILE),
    );
    expect(problem).toMatchObject({ reason });
    expect(problem.field ?? '').toBe(field);
    expect(problem.line).toBeGreaterThan(0);
    expect(problem.message).not.toBe('');
    expect(problem.remedy).not.toBe('');
    if (reason !== 'NotAnObject') expect(problem.object ?? '').not.toBe('');
    expect(await currentKernel()).toEqual(kernel);
    lab.manifests.remove(FILE);
    await until('the problem is gone', noProblems);
    expect(await currentKernel()).toEqual(kernel);
  });

  test.each(withOld.map((fixture) => [fixture.name, fixture] as const))(
    'of an object that is in force: %s',
    async (_, { path, reason, field, old }) => {
      const valid = fixtures('valid').find(({ name }) => name === old);
      const { kind, metadata } = (valid?.manifest ?? {}) as { kind: string; metadata: { name: string } };
      const objects = (await lab.report(0))?.objects ?? 0;
      const names = await until('nothing is being removed', kernelNames);
      lab.manifests.writeText(FILE, readFileSync(valid?.path ?? '', 'utf8'));
      await until('the old object is in force', async () =>
        ((await lab.report(0))?.objects ?? 0) > objects ? true : undefined,
      );
      if (kind === 'Cube') {
        await until('the old object is in the kernel', async () => {
          const statuses = [...(await lab.statuses(0)).values()];
          const status = statuses.find((one) => one.kind === kind && one.metadata.name === metadata.name);
          return status && conditionOf(status.status, 'Programmed')?.status === 'True' ? true : undefined;
        });
      }
      const before = await settled();
      expect(await lab.report(0)).toMatchObject({ problems: [] });
      lab.manifests.writeText(FILE, readFileSync(path, 'utf8'));
      const problem = await until('a problem is reported', async () =>
        (await lab.report(0))?.problems.find(({ file }) => file === FILE),
      );
      expect(problem).toMatchObject({ reason, field });
      expect(await currentKernel()).toEqual(before);
      lab.manifests.remove(FILE);
      await until('the problem is gone', noProblems);
      // Programs and maps of the old object are gone; what it left behind in shared maps is nobody's.
      await until('the pins are as they were', async () =>
        (await kernelNames()) === names ? true : undefined,
      );
    },
  );
});

describe('an object that this release does not do', () => {
  test.each(fixtures('not-supported').map((fixture) => [fixture.name, fixture] as const))(
    '%s',
    async (_, { path, field, manifest }) => {
      const { kind, metadata } = manifest as { kind: string; metadata: { name: string; namespace?: string } };
      lab.manifests.writeText(FILE, readFileSync(path, 'utf8'));
      const said = await until(`${kind} ${metadata.name} is said not to be supported`, async () => {
        for (const { kind: of, metadata: meta, status } of (await lab.statuses(0)).values()) {
          const accepted = conditionOf(status, 'Accepted');
          if (of === kind && meta.name === metadata.name && accepted?.status === 'False') return accepted;
        }
        const warning = (await lab.report(0))?.warnings.find(({ object }) => object.includes(metadata.name));
        return warning && { ...warning, status: 'False', message: `${warning.field}: ${warning.message}` };
      });
      expect(said.reason).toBe('NotSupported');
      expect(said.message).toContain(field);
      expect(await currentKernel()).toEqual(kernel);
      lab.manifests.remove(FILE);
      await until('nothing is left of it', async () =>
        [...(await lab.statuses(0)).values()].some(({ metadata: { name } }) => name === metadata.name)
          ? undefined
          : true,
      );
      expect(await currentKernel()).toEqual(kernel);
    },
  );
});

describe('an object that does not fit what is there', () => {
  test.each(graphFixtures().map((fixture) => [fixture.name, fixture] as const))(
    '%s',
    async (_, { text, object, condition, reasons, says, leavesKernel, takesNodeAddresses }) => {
      const node = nodeObject(lab.worker(0).node, 0);
      if (takesNodeAddresses) lab.manifests.write('nodes.yaml', { ...node, status: { addresses: [] } });
      lab.manifests.writeText(FILE, text);
      const said = await until(`${object} is said not to be ${condition}`, async () => {
        const status = (await lab.statuses(0)).get(object)?.status;
        const found = status && conditionOf(status, condition);
        return found?.status === 'False' && reasons.includes(found.reason) ? found : undefined;
      });
      expect(said.message).toContain(says);
      await sleep(50);
      if (leavesKernel) expect(await currentKernel()).toEqual(kernel);
      lab.manifests.remove(FILE);
      if (takesNodeAddresses) lab.manifests.write('nodes.yaml', node);
      await until('it is forgotten', async () => {
        const status = (await lab.statuses(0)).get(object)?.status;
        return status === undefined || conditionOf(status, condition)?.status === 'True' ? true : undefined;
      });
      await sleep(50);
      if (leavesKernel) expect(await currentKernel()).toEqual(kernel);
    },
  );
});

describe('the directory', () => {
  const good = () => readFileSync(join(lab.manifests.directory, 'service-web.yaml'), 'utf8');

  test.each([
    ['that is no YAML', 'kind: [unclosed'],
    ['of zeros', '\0'.repeat(64)],
  ])('holds a file %s', async (_, text) => {
    lab.manifests.writeText(FILE, text);
    const problem = await until('a problem is reported', async () =>
      (await lab.report(0))?.problems.find(({ file }) => file === FILE),
    );
    expect(problem.message).not.toBe('');
    expect(problem.remedy).not.toBe('');
    expect(await currentKernel()).toEqual(kernel);
    lab.manifests.remove(FILE);
    await until('the problem is gone', noProblems);
  });

  test('holds an object twice', async () => {
    lab.manifests.writeText(FILE, good());
    const problem = await until('a problem is reported', async () => (await lab.report(0))?.problems[0]);
    expect(problem).toMatchObject({ reason: 'DuplicateObject', file: FILE });
    expect(problem.message).toContain('service-web.yaml');
    expect(await currentKernel()).toEqual(kernel);
    lab.manifests.remove(FILE);
    await until('the problem is gone', noProblems);
  });

  test('holds a broken version of a file: the last good one stays in force', async () => {
    const text = good();
    lab.manifests.writeText('service-web.yaml', text.replace('port: 80\n', 'port: 70000\n'));
    const problem = await until('a problem is reported', async () => (await lab.report(0))?.problems[0]);
    expect(problem).toMatchObject({ file: 'service-web.yaml', object: 'Service default/web' });
    expect(await currentKernel()).toEqual(kernel);
    await lab.worker(0).agent.kill();
    await lab.worker(0).agent.start();
    expect(await currentKernel()).toEqual(kernel);
    lab.manifests.writeText('service-web.yaml', text);
    await until('the problem is gone', noProblems);
  });

  test('is gone: everything stays, and is read again when it is back', async () => {
    const { directory } = lab.manifests;
    renameSync(directory, `${directory}.away`);
    const failure = await until('the failure is reported', async () => (await lab.report(0))?.failure);
    expect(failure).toContain(directory);
    expect(failure).toMatch(/create it|mount it/);
    expect(await currentKernel()).toEqual(kernel);
    renameSync(`${directory}.away`, directory);
    await until('the failure is over', noProblems);
    expect(await currentKernel()).toEqual(kernel);
    expect(existsSync(directory)).toBe(true);
  });
});

test('no request failed in all that time', async () => {
  for (const load of loads) {
    const report = await load.end();
    expect(report.failures.slice(0, 5)).toEqual([]);
    expect(report.requests).toBeGreaterThan(500);
  }
});
