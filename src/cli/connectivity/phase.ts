// SPDX-License-Identifier: Apache-2.0
/** One phase: its policies, its clients, and what these say. */
import type { KubeClient } from '../../k8s/client.ts';
import { NETWORK_POLICIES } from '../../k8s/resource.ts';
import { clientPod, clientsOf, type Frame, OWN_LABEL, OWN_VALUE, policyObjects } from './objects.ts';
import { endedClients } from './pods.ts';
import { decodeOutcomes, type Outcome, type Probe, type Question, verdictOf } from './probe.ts';
import type { Tried } from './report.ts';
import type { Phase } from './stage.ts';
import { createPod } from './stage-up.ts';

export async function tryPhase(
  client: KubeClient,
  frame: Frame,
  phase: Phase,
  probes: readonly Probe[],
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<Tried[]> {
  const { namespace } = frame;
  await setPolicies(client, namespace, phase);
  const clients = clientsOf(phase, frame.nodes)
    .map((one) => ({ ...one, probes: probes.filter((probe) => probe.client === one.name) }))
    .filter((one) => one.probes.length > 0);
  for (const one of clients)
    await createPod(client, clientPod(frame, one, one.probes.map(questionOf)), signal);
  const names = clients.map(({ name }) => name);
  const ends = await endedClients(client, namespace, names, signal);
  const tried = clients.flatMap(({ name, probes: own }) => {
    const { message = '', problem } = ends.get(name) ?? {};
    const outcomes: readonly (Outcome | undefined)[] = decodeOutcomes(message) ?? [];
    return own.map((probe, at) => ({
      probe,
      outcome: outcomes[at],
      ...(problem === undefined ? {} : { problem }),
    }));
  });
  const good = tried.filter(({ probe, outcome }) => verdictOf(probe.expect, outcome).passed).length;
  say(`${PHASE_WORDS[phase]}: ${good} of ${tried.length} paths are as they should be`);
  return tried;
}

function questionOf({ kind, address, port, family, count, expect }: Probe): Question {
  return { kind, address, port, count, expect, ...(family === undefined ? {} : { family }) };
}

const PHASE_WORDS: Readonly<Record<Phase, string>> = {
  paths: 'without policies',
  deny: 'with a policy that denies',
  allow: 'with one that allows, too',
  undone: 'with the policies deleted',
};

async function setPolicies(client: KubeClient, namespace: string, phase: Phase): Promise<void> {
  const wanted = policyObjects(namespace, phase);
  const there = new Set(
    (await client.listAll(NETWORK_POLICIES, { namespace }))
      .filter(({ metadata }) => metadata.labels?.[OWN_LABEL] === OWN_VALUE)
      .map(({ metadata }) => metadata.name),
  );
  for (const policy of wanted)
    if (!there.delete(policy.metadata.name)) await client.create(NETWORK_POLICIES, policy);
  for (const name of there) await client.delete(NETWORK_POLICIES, { namespace, name: name ?? '' });
}
