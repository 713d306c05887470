// SPDX-License-Identifier: Apache-2.0
/** Drop reasons that every cube and the entry programs share. Append only: an id never changes its meaning. */
import type { DropReason } from './cube-type.ts';

export const COMMON_DROP_REASONS: readonly DropReason[] = [
  {
    id: 1,
    name: 'Malformed',
    description: 'A header is cut short, or its lengths contradict each other.',
    remedy: 'Capture at the sender; a device on the way may truncate packets.',
  },
  {
    id: 2,
    name: 'NoEdge',
    description: 'The cube sent the packet to a port that is not linked.',
    remedy: 'Link the port: list the CubeLinks of the node and the ports of the cube.',
  },
  {
    id: 3,
    name: 'HopLimit',
    description: 'The packet crossed more cubes than a chain may have.',
    remedy: 'Look for a loop in the links of the node; 31 cubes are the most a packet can cross.',
  },
  {
    id: 4,
    name: 'TailCallFailed',
    description: 'The slot of the next cube is empty.',
    remedy: 'Restart the agent of the node, which fills it again, and report it.',
  },
  {
    id: 5,
    name: 'UnknownPod',
    description: 'No pod with the destination address is plugged on the node.',
    remedy: 'Compare the address with the pods of the node; a pod that has just gone is normal.',
  },
  {
    id: 6,
    name: 'SpoofedSource',
    description:
      'A pod sent from an address or MAC that is not its own, or what came from outside has the address of a pod or of the node.',
    remedy:
      'Look at what the pod runs, which may send only from the addresses it was given, or for the host outside that lies.',
  },
  {
    id: 7,
    name: 'SpoofedOverlaySource',
    description:
      'A tunnelled packet came from an inner address that does not belong to the sending node, or a packet came without a tunnel from the address of a pod of another node.',
    remedy:
      'Compare the podCIDRs of the sending node with the Route tables; a node outside the cluster may be sending.',
  },
  {
    id: 8,
    name: 'FragmentWithoutFirst',
    description: 'A later fragment came before its first one, or long after it.',
    remedy:
      'Correct the MTU so that nothing is fragmented: pods need the MTU of the uplink less the overlay.',
  },
  {
    id: 9,
    name: 'ExtensionHeaders',
    description: 'An IPv6 packet has more than 6 extension headers.',
    remedy: 'Nothing, unless the sender really needs them.',
  },
  {
    id: 10,
    name: 'RewriteFailed',
    description: 'The kernel refused to change the packet.',
    remedy: 'Look for memory pressure on the node, and report it.',
  },
  {
    id: 11,
    name: 'RedirectFailed',
    description: 'The kernel refused to hand the packet to the device.',
    remedy: 'Check that the device exists and is up; the status of the CubeLink names it.',
  },
  {
    id: 12,
    name: 'MapFull',
    description: 'A map that has to remember the packet is full.',
    remedy: 'See status.mapPressure of the CubeNode and raise the limit of the cube that it names.',
  },
  {
    id: 13,
    name: 'Unsupported',
    description: 'The packet is of a kind that this cube does not handle.',
    remedy: 'See the reference page of the cube type for what it handles.',
  },
  {
    id: 14,
    name: 'RateLimited',
    description: 'The answer to the packet was over the limit for its sender.',
    remedy: 'Raise the limit in the spec of the cube if the load is honest.',
  },
  {
    id: 15,
    name: 'ChainNotProgrammed',
    description: 'The chain behind the attachment is not in the kernel and its failure policy is Closed.',
    remedy: 'Read the conditions of the cubes of the node; they say what keeps the chain out.',
  },
  {
    id: 16,
    name: 'Mtu',
    description: 'The packet is larger than the way out allows.',
    remedy: 'Give pods the MTU of the uplink less 50 bytes for the overlay (70 over IPv6).',
  },
  {
    id: 17,
    name: 'StaleEpoch',
    description: 'The packet carries an epoch of the graph that is no longer held.',
    remedy: 'Nothing: it was on its way longer than a change of the graph waits.',
  },
  {
    id: 18,
    name: 'LinkLocalControl',
    description:
      'A link-local control packet (ARP, neighbour discovery) came to a cube that has no use for it.',
    remedy: 'Nothing: such packets belong to the link that they came from.',
  },
  {
    id: 19,
    name: 'Punted',
    description: 'The cube handed the packet to the agent, which decides what becomes of it.',
    remedy: 'Nothing, unless the log of the agent says why it could not be handled.',
  },
  {
    id: 20,
    name: 'PuntLimited',
    description: 'The cube wanted to hand the packet to the agent and was over its rate.',
    remedy: 'Look for who sends so many such packets; the agent sees a limited number a second of each cube.',
  },
  {
    id: 21,
    name: 'PuntLost',
    description: 'The cube wanted to hand the packet to the agent, whose buffer was full.',
    remedy: 'Check that the agent of the node runs and is not starved of CPU.',
  },
];
