// SPDX-License-Identifier: Apache-2.0
import type { Server } from 'node:http';
import { CUBES } from '../cubes/generated/registry.ts';
import { Agent } from './agent.ts';
import type { AgentOptions } from './agent-options.ts';
import { isAgentRunning } from './client.ts';
import type { CniOptions } from './cni/installation.ts';
import { Cni } from './cni/main.ts';
import { AgentError } from './errors.ts';
import { serveMetrics } from './inspect/metrics-server.ts';
import { isWorking, serveProxyHealth } from './inspect/proxy-health.ts';
import { AgentServer } from './server.ts';

export interface RunOptions extends Omit<AgentOptions, 'types'>, Partial<Pick<AgentOptions, 'types'>> {
  /** Serves the CNI plugin. Default: not. */
  readonly cni?: CniOptions;
}

export interface RunningAgent {
  readonly agent: Agent;
  /** Resolves when the kernel first holds what the objects say; while something fails it waits. */
  readonly ready: Promise<void>;
  /** Ends the agent and leaves the data plane working. */
  stop(): Promise<void>;
}

/**
 * Starts the agent of a node in this process, which must run in the node's network namespace. `stateDir` is the node's own
 * folder. Throws AgentError AlreadyRunning when another agent has it.
 */
export async function runAgent(options: RunOptions): Promise<RunningAgent> {
  if (await isAgentRunning(options.stateDir)) {
    throw new AgentError(
      'AlreadyRunning',
      `an agent of node ${options.node} is running already`,
      'end it first, or choose another --state-dir',
    );
  }
  let cni: Cni | undefined;
  // What an agent of before has left in the kernel says nothing about this one.
  let isProgrammed = false;
  const afterRound = () => {
    isProgrammed ||= agent.facts.isProgrammed;
    options.afterRound?.();
    cni?.afterRound();
  };
  const agent = new Agent({ types: CUBES, ...options, afterRound });
  const server = new AgentServer(agent, options.stateDir);
  await server.start();
  const servers: Server[] = [];
  const closeServers = () => {
    for (const one of servers) {
      one.closeAllConnections();
      one.close();
    }
  };
  try {
    if (options.metricsAddress !== undefined)
      servers.push(
        await serveMetrics(
          options.metricsAddress,
          () => agent.inspection.metrics({ ...agent.health(), ...(cni && { afterwork: cni.waiting }) }),
          () => isProgrammed && isWorking(agent.proxyHealth, Date.now()),
        ),
      );
    if (options.healthzAddress !== undefined)
      servers.push(await serveProxyHealth(options.healthzAddress, () => agent.proxyHealth));
    await agent.start();
    cni = await startCni(agent, options);
  } catch (error) {
    closeServers();
    await server.stop();
    throw error;
  }
  return {
    agent,
    ready: agent.ready,
    stop: async () => {
      closeServers();
      await cni?.stop();
      server.end();
      // what it has begun it ends
      await agent.stop();
      await server.stop();
    },
  };
}

async function startCni(agent: Agent, options: RunOptions): Promise<Cni | undefined> {
  if (options.cni === undefined) return undefined;
  try {
    const cni = new Cni(agent, options.cni, options.stateDir, options.log);
    await cni.start();
    return cni;
  } catch (error) {
    await agent.stop();
    throw error;
  }
}
