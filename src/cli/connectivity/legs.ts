// SPDX-License-Identifier: Apache-2.0
/** The way of a packet over several nodes, pieced together from dry runs on each. */
import { OVERLAY_DEVICE } from '../../dataplane/desired.ts';
import { placeText } from '../../dataplane/trace/packet-words.ts';
import type { Story } from '../../dataplane/trace/story.ts';
import type { TraceStart } from './probe.ts';
import type { StageNode } from './stage.ts';

/** What is asked of the agent of a node: `cubeplane trace --dry-run --from FROM --packet PACKET`. */
export interface Ask {
  readonly node: string;
  readonly from: string;
  readonly packet: string;
}

export interface Leg extends Ask {
  readonly story?: Story;
  /** Why there is no story: the agent could not be asked. */
  readonly failure?: string;
}

/** Where a packet ended, and what to do. */
export interface Place {
  readonly node: string;
  /** Cube `namespace/name`, `entry`; absent where the chain let it through. */
  readonly by?: string;
  readonly reason: string;
  readonly description: string;
  readonly remedy: string;
}

/** Ends of a trace that goes round in circles. */
const MOST_LEGS = 6;

/** The first packet of a probe, as `cubeplane trace` takes it. Of a TCP connection its SYN. */
export function firstAsk({ node, from, source, address, port }: TraceStart, protocol: 'tcp' | 'udp'): Ask {
  const flags = protocol === 'tcp' ? ' SYN' : '';
  return {
    node,
    from,
    packet: `${protocol} ${placeText(source, SOURCE_PORT)} > ${placeText(address, port)}${flags}`,
  };
}
const SOURCE_PORT = 40_000;

/** Follows a packet, and where it reached a pod untranslated its answer. `ask` throws where an agent cannot be asked. */
export async function follow(
  first: Ask,
  nodes: readonly StageNode[],
  ask: (what: Ask) => Promise<Story>,
): Promise<Leg[]> {
  const legs: Leg[] = [];
  let next: Ask | undefined = first;
  while (next !== undefined && legs.length < MOST_LEGS) {
    const now: Ask = next;
    try {
      const story = await ask(now);
      legs.push({ ...now, story });
      next = nextAsk(legs, story, nodes);
    } catch (failure) {
      legs.push({ ...now, failure: (failure as Error).message });
      return legs;
    }
  }
  return legs;
}

/** The packet as the last cube let it out. */
function lastPacket({ packet, hops }: Story): string {
  return hops.at(-1)?.outputs.at(-1)?.packet ?? packet;
}

/** Where a packet goes on: at the node that it was sent to, or back as an answer. Undefined: nowhere that can be asked. */
export function nextAsk(legs: readonly Leg[], story: Story, nodes: readonly StageNode[]): Ask | undefined {
  const { verdict, to = '' } = story;
  const packet = lastPacket(story);
  if (verdict === 'Sent') {
    const address = /^(?:a tunnel to )?(\S+) (?:by|on) /.exec(to)?.[1] ?? '';
    const node = nodes.find(({ addresses }) => Object.values(addresses).includes(address));
    if (node === undefined || node.name === legs.at(-1)?.node) return undefined;
    return { node: node.name, from: to.startsWith('a tunnel') ? 'overlay' : node.uplink, packet };
  }
  const pod = /^Pod (\S+\/\S+) at /.exec(to)?.[1];
  const answer = answerOf(legs[0]?.packet ?? '', packet);
  const node = legs.at(-1)?.node;
  const isAnswer = legs.some((leg) => leg.packet === answer);
  if (verdict !== 'Delivered' || pod === undefined || answer === undefined || isAnswer || node === undefined)
    return undefined;
  return { node, from: pod, packet: answer };
}

/** The answer to a packet that arrived as it was sent. One that was translated comes back by a session that a dry run does not have. */
function answerOf(sent: string, arrived: string): string | undefined {
  const match = /^(tcp|udp) (\S+) > (\S+)/.exec(sent);
  if (match === null || !arrived.startsWith(match[0])) return undefined;
  const [, protocol, source, destination] = match;
  // a SYN, too: without a session a firewall takes SYN ACK for the middle of an unknown connection
  return `${protocol} ${destination} > ${source}${protocol === 'tcp' ? ' SYN' : ''}`;
}

/** What the trace of a path that does not work says. `legs`: at least one. */
export function placeOf(all: readonly Leg[]): Place {
  const legs = withoutGuess(all);
  const { node, story, failure } = legs.at(-1) as Leg;
  if (story === undefined)
    return {
      node,
      reason: 'AgentNotReached',
      description: `the agent of ${node} could not be asked: ${failure}`,
      remedy: 'look whether it runs; on the node itself: cubeplane plan',
    };
  const { verdict, by, drop } = story;
  if (drop !== undefined && (verdict === 'Dropped' || verdict === 'Answered')) {
    const { reason, description, remedy } = drop;
    return { node, ...(by === undefined ? {} : { by }), reason, description, remedy };
  }
  if (verdict === 'Unknown')
    return { node, reason: 'Unknown', description: 'events of the trace were lost', remedy: 'run it again' };
  return passedPlace(legs, story);
}

/** Of an answer without its session a firewall may think otherwise than of the real one. */
function withoutGuess(legs: readonly Leg[]): readonly Leg[] {
  const first = legs[0]?.packet ?? '';
  const answer = legs.findIndex(({ packet }) => packet === answerOf(first, first));
  const last = legs.at(-1)?.story;
  const dropper = last?.verdict === 'Dropped' ? last.hops.find(({ cube }) => cube === last.by) : undefined;
  return answer > 0 && dropper?.type === 'Firewall' ? legs.slice(0, answer) : legs;
}

/** No cube refused it. */
function passedPlace(legs: readonly Leg[], { verdict, to }: Story): Place {
  const passed = [...new Set(legs.map((leg) => leg.node))];
  const node = passed.at(1) ?? passed[0] ?? '';
  if (passed.length > 1)
    return {
      node,
      reason: 'BetweenNodes',
      description: `the chains of ${passed.join(' and ')} let it pass on its whole way: what is between them loses it`,
      remedy: `let UDP port 4789 (VXLAN) and forwarded packets pass in the firewalls of the nodes and of the network, and look at ip -s link show ${OVERLAY_DEVICE}`,
    };
  const description = `the chain let it pass, at last to ${to}`;
  if (verdict === 'Delivered')
    return {
      node,
      reason: 'Delivered',
      description,
      remedy:
        'look at the program there: whether it runs, listens on this port, and has a firewall of its own',
    };
  if (verdict === 'Host')
    return {
      node,
      reason: 'LeftToHost',
      description,
      remedy: "look at the node's own firewall (nft list ruleset) and at what listens there",
    };
  return {
    node,
    reason: 'SentAway',
    description,
    remedy: 'look whether that is the right way (cubeplane tables), and what becomes of it there',
  };
}
