// SPDX-License-Identifier: Apache-2.0
/** The course of a connectivity test in a cluster. */
import type { KubeClient } from '../../k8s/client.ts';
import { CUBE_NODES, NODES } from '../../k8s/resource.ts';
import type { Agents } from './agents.ts';
import { locate } from './locate.ts';
import { removeNamespace, takeNamespace } from './namespace.ts';
import { type CubeNodeObject, chooseNodes, type NodeChoice, type NodeObject } from './nodes.ts';
import { tryPhase } from './phase.ts';
import { familyName, probesOf } from './probes.ts';
import { type ConnectivityReport, type Tried, testReports } from './report.ts';
import { familiesOf, PHASES } from './stage.ts';
import { setStage } from './stage-up.ts';
import type { TestName } from './tests.ts';

export interface TestOptions extends NodeChoice {
  readonly namespace: string;
  readonly image: string;
  readonly hostPort: number;
  readonly external?: string;
  readonly keep: boolean;
  readonly isWanted: (test: TestName) => boolean;
}

/** Throws CliError, KubeError; whatever happens, what was created is removed, unless `keep` is set. */
export async function testConnectivity(
  client: KubeClient,
  agents: Agents,
  options: TestOptions,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<ConnectivityReport> {
  const nodes = await client.listAll<NodeObject>(NODES);
  const cubeNodes = await client.listAll<CubeNodeObject>(CUBE_NODES);
  const stageNodes = chooseNodes(nodes, cubeNodes, options);
  const frame = { ...options, nodes: stageNodes };
  await takeNamespace(client, options.namespace, signal, say);
  try {
    say(
      `clients and servers on ${stageNodes.map(({ name }) => name).join(' and ')}, in namespace ${options.namespace}`,
    );
    const stage = await setStage(client, frame, signal, options.external);
    say('servers run');
    const tried: Tried[] = [];
    for (const phase of PHASES) {
      const probes = probesOf(stage, phase, options.isWanted);
      if (probes.length === 0) continue;
      tried.push(...(await tryPhase(client, frame, phase, probes, signal, say)));
    }
    const located = await locate(client, agents, stage, tried, signal, say);
    const tests = testReports(stage, located, options.isWanted);
    return {
      passed: tests.every(({ result }) => result !== 'Failed'),
      nodes: stageNodes.map(({ name }) => name),
      families: familiesOf(stage).map(familyName),
      tests,
    };
  } finally {
    if (options.keep)
      say(`namespace ${options.namespace} is kept; kubectl delete namespace ${options.namespace} removes it`);
    else {
      say(`namespace ${options.namespace} is removed`);
      await removeNamespace(client, options.namespace, say);
    }
  }
}
