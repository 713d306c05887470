// SPDX-License-Identifier: Apache-2.0
/** What a link can join: a port of a cube, an interface, the pods of a node, the overlay, the host's stack. */
import {
  choice,
  dnsLabel,
  dnsSubdomain,
  integer,
  labelSelector,
  object,
  setOf,
  text,
  unionRules,
} from './build.ts';
import type { Schema, Union } from './schema.ts';

export const ENDPOINT_TYPES = ['Cube', 'Interface', 'Pods', 'Overlay', 'Stack', 'Next'] as const;

/** What an Overlay endpoint means where it says nothing: VXLAN network 1 on the port that IANA assigned. */
export const OVERLAY_DEFAULTS = { protocol: 'VXLAN', vni: 1, port: 4789, directRouting: 'Never' } as const;

/** A name of a Linux interface: at most 15 bytes. */
const INTERFACE_NAME = '[A-Za-z0-9_][A-Za-z0-9_.@-]{0,14}';
/** Such a name, or the variable that the node's agent resolves. */
export const INTERFACE_PATTERN = `^(\\$\\(node\\.uplink\\)|${INTERFACE_NAME})$`;

const UNION: Union = {
  discriminator: 'type',
  members: {
    Cube: 'cube',
    Interface: 'interface',
    Pods: 'pods',
    Overlay: 'overlay',
    Stack: null,
    Next: null,
  },
  optional: ['Pods', 'Overlay'],
};

export const failurePolicy = (description: string): Schema =>
  choice(`${description} Closed drops the packets of the attachment, Open passes them to the host's stack.`, [
    'Open',
    'Closed',
  ]);

/** `where` says what `cube.name` names: an object (CubeLink) or a template of the same chain (ServiceChain). */
export function endpoint(where: 'object' | 'template' | 'path'): Schema {
  const name =
    where === 'object'
      ? dnsSubdomain('Name of a Cube in the namespace of the link.')
      : dnsLabel('Name of a cube of this chain.');
  const cube =
    where === 'path'
      ? object(
          'A cube of this chain that packets cross.',
          {
            name,
            in: dnsLabel(
              'Port towards the previous step; of a type that can be spliced in, in and out stand for its outside and inside.',
              {
                default: 'in',
              },
            ),
            out: dnsLabel('Port towards the next step.', { default: 'out' }),
          },
          ['name'],
          { typeName: 'PathCube' },
        )
      : object('A port of a cube.', { name, port: dnsLabel('Name of the port.') }, ['name', 'port'], {
          typeName: 'CubePort',
        });
  return object(
    where === 'path' ? 'One step of a path.' : 'One end of a link.',
    {
      type: choice(
        'What stands here. Cube: a port of a cube. Interface: a network interface of the node, which the host goes on using: packets for addresses of the host, broadcasts and groups pass to it. Pods: the pods plugged on the node. Overlay: the tunnels to the other nodes. Stack: the network stack of the host, through cube0; linked to a Router, the host has the addresses of the router ports on cube0 and routes their prefixes and those behind the overlay to it, and the router sends there what is for an address of the host, unless a route of its spec is for just that address. Next: in a Transparent chain, whatever comes there.',
        ENDPOINT_TYPES,
      ),
      cube,
      interface: object(
        'A network interface of the node.',
        {
          name: text(
            'Name of the interface, or $(node.uplink): the interface of the default route, or without one that which has an address of the Node object, found by the agent of the node.',
            64,
            { minLength: 1, pattern: INTERFACE_PATTERN },
          ),
          others: setOf(
            'Further interfaces that lead to the same port of the cube, as other uplinks of the node. Those that a node does not have are left out. What leaves takes the one that the routes of the host say, of all of these; without such a route the first. Not for cubes of layer 2 and at XDP, which know the first alone.',
            text('Name of an interface.', 15, { minLength: 1, pattern: `^${INTERFACE_NAME}$` }),
            8,
          ),
        },
        ['name'],
        { typeName: 'InterfaceName' },
      ),
      pods: object(
        'Which pods of the node; without a selector all that were plugged.',
        { selector: labelSelector('Labels of the pods.') },
        [],
        { typeName: 'PodsSelection' },
      ),
      overlay: object(
        'The overlay between the nodes.',
        {
          protocol: choice('Encapsulation.', ['VXLAN'], { default: OVERLAY_DEFAULTS.protocol }),
          vni: integer('Network identifier of tunnels that name none.', 1, 16777215, {
            default: OVERLAY_DEFAULTS.vni,
          }),
          port: integer('UDP destination port of the tunnels.', 1, 65535, { default: OVERLAY_DEFAULTS.port }),
          directRouting: choice(
            'Nodes whose address is in the subnet of the own one. Never: by the tunnel like all others. SameSubnet: without it, by the host, which routes to them; the router needs a port that is linked to the Stack.',
            ['Never', 'SameSubnet'],
            { default: OVERLAY_DEFAULTS.directRouting },
          ),
        },
        [],
        { typeName: 'OverlaySettings' },
      ),
      failurePolicy: failurePolicy(
        'What happens to packets here while a cube behind is not programmed. Without it Closed for Pods and Overlay, Open for Interface and Stack.',
      ),
    },
    ['type'],
    {
      typeName: where === 'path' ? 'PathStep' : 'Endpoint',
      union: UNION,
      rules: unionRules(UNION),
    },
  );
}
