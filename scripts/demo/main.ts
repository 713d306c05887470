// SPDX-License-Identifier: Apache-2.0
import { parseArgs } from 'node:util';
import { type Lab, openLab, removeLab } from '../../test/harness/lab.ts';
import { isUsageError, refused, UsageError } from '../../test/harness/usage.ts';
import { lookAround, scale, spread } from './acts.ts';
import type { Stage } from './stage.ts';
import { Story } from './story.ts';

const HELP = `Usage: npm run demo -- [--kubernetes] [--keep]

Builds two nodes joined by VXLAN, a client pod and four backend pods, all as network namespaces of this machine; runs an
agent on each node; sends real TCP and UDP requests through the chain (load balancer, router) on IPv4 and IPv6; takes a
backend away under load and brings it back without a failed request; shows the objects, the chain and its counters; and
removes everything, also after Ctrl-C.

Options:
  --kubernetes   the same through a real kube-apiserver: operator, kubectl, EndpointSlices by Kubernetes' controllers
                 (the first time Kubernetes is compiled, 7 to 15 minutes)
  --keep         leave it up at the end, and say how to look at it and how to remove it
  --remove ID    remove one that was kept
  -h, --help     this text

Needs root, and Linux 6.6 or later with BTF. Nothing outside of its own namespaces is touched.
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      kubernetes: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      remove: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (values.remove !== undefined) {
    if (!/^[0-9a-f]{6}$/.test(values.remove))
      throw new UsageError(`--remove ${values.remove}: not the id of a kept demo`);
    await removeLab(values.remove);
    process.stdout.write(`demo ${values.remove} is removed\n`);
    return 0;
  }
  const story = new Story();
  const lab = await openLab('demo', { detached: values.keep, log: (line) => story.detail(line) });
  let kept = false;
  try {
    const stage = await play(lab, story, values.kubernetes);
    if (values.keep) {
      lab.release();
      kept = true;
      end(story, stage, lab);
    }
  } finally {
    if (!kept) await lab.close();
  }
  if (!kept) farewell(story, values.kubernetes);
  return 0;
}

async function play(lab: Lab, story: Story, kubernetes: boolean): Promise<Stage> {
  story.title(
    kubernetes ? 'Setting the stage: a cluster' : 'Setting the stage: no cluster, a directory of manifests',
  );
  const stage = kubernetes
    ? await (await import('./cluster-stage.ts')).clusterStage(lab, story)
    : await (await import('./directory-stage.ts')).directoryStage(lab, story);
  story.title('Requests to the Service, and who answered them');
  await spread(stage, story);
  story.title('A backend goes and comes back under load');
  await scale(stage, story);
  story.title('What there is');
  await lookAround(stage, story);
  return stage;
}

function end(story: Story, stage: Stage, lab: Lab): void {
  story.title('It stays up. Try:');
  story.show([...stage.hints, '', `npm run demo -- --remove ${lab.id}    # when you are done`]);
}

function farewell(story: Story, kubernetes: boolean): void {
  story.title(`Done in ${story.elapsed}; everything is removed. Next:`);
  story.show([
    'npm run demo -- --keep          # the same, left up, to look around in',
    kubernetes
      ? 'npm run demo                    # the same without a cluster'
      : 'npm run demo -- --kubernetes    # the same on a real API server, with kubectl',
    'samples/demo/chain.yaml         # the chain that you saw; docs/getting-started.md goes on from here',
  ]);
}

try {
  process.exitCode = await main();
} catch (failure) {
  if (isUsageError(failure)) {
    process.exitCode = refused('npm run demo', failure);
  } else {
    const message = failure instanceof Error ? failure.message : String(failure);
    process.stderr.write(`\ndemo: ${message}\n`);
    process.stderr.write(
      'Everything it made is removed. Run it with CUBEPLANE_LAB_LOGS=DIR to keep the logs of all programs.\n',
    );
    process.exitCode = 1;
  }
}
