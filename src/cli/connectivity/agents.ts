// SPDX-License-Identifier: Apache-2.0
/** Asks agents of any node: by their socket where the node is this machine, else by exec in their pods. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { askAgent } from '../../dataplane/client.ts';
import { SOCKET_NAME } from '../../dataplane/protocol.ts';
import { parsePacket } from '../../dataplane/trace/packet-spec.ts';
import type { Story } from '../../dataplane/trace/story.ts';
import type { KubeClient } from '../../k8s/client.ts';
import { execInPod } from '../../k8s/exec.ts';
import { type KubeObject, PODS } from '../../k8s/resource.ts';
import { CliError, EXIT } from '../errors.ts';
import type { Ask } from './legs.ts';

/** Where agents run as pods. */
const SYSTEM_NAMESPACE = 'cubeplane-system';
const AGENT_LABELS = 'app.kubernetes.io/name=cubeplane-agent';

interface AgentPod extends KubeObject {
  readonly spec?: {
    readonly nodeName?: string;
    readonly containers?: readonly { name: string; image: string }[];
  };
  readonly status?: { readonly phase?: string };
}

export class Agents {
  readonly #client: KubeClient;
  readonly #stateRoot: string;
  #pods: AgentPod[] | undefined;

  constructor(client: KubeClient, stateRoot: string) {
    this.#client = client;
    this.#stateRoot = stateRoot;
  }

  /** The image that the agents run, where they are pods. */
  async image(): Promise<string | undefined> {
    return (await this.#agentPods())[0]?.spec?.containers?.[0]?.image;
  }

  /** A dry run. Throws where the agent cannot be asked, or says that the question is wrong. */
  async trace({ node, from, packet }: Ask): Promise<Story> {
    const directory = join(this.#stateRoot, node);
    if (existsSync(join(directory, SOCKET_NAME)))
      return await askAgent(directory, 'traceDry', { from, packet: parsePacket(packet) });
    const pod = (await this.#agentPods()).find(({ spec }) => spec?.nodeName === node);
    if (pod === undefined)
      throw new CliError(
        EXIT.failure,
        `it has no socket below ${this.#stateRoot} and no pod with ${AGENT_LABELS} in ${SYSTEM_NAMESPACE}`,
        'run the test on the node',
      );
    const { name = '', namespace = '' } = pod.metadata;
    const container = pod.spec?.containers?.[0]?.name ?? '';
    const command = [
      'cubeplane',
      'trace',
      '--dry-run',
      '--node',
      node,
      '--from',
      from,
      '--packet',
      packet,
      '-o',
      'json',
    ];
    const { stdout, stderr, failure } = await execInPod(
      this.#client,
      { namespace, name, container },
      command,
    );
    if (failure !== '') throw new CliError(EXIT.failure, stderr.trim() || failure, '');
    return JSON.parse(stdout) as Story;
  }

  async #agentPods(): Promise<AgentPod[]> {
    const where = { namespace: SYSTEM_NAMESPACE, labelSelector: AGENT_LABELS };
    this.#pods ??= (await this.#client.listAll<AgentPod>(PODS, where)).filter(
      ({ status }) => status?.phase === 'Running',
    );
    return this.#pods;
  }
}
