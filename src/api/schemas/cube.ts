// SPDX-License-Identifier: Apache-2.0
import {
  choice,
  dnsLabel,
  dnsSubdomain,
  immutable,
  integer,
  mapList,
  object,
  text,
  unionRules,
} from './build.ts';
import { CONDITIONS, statusOf } from './conditions.ts';
import { type CubeTypeSchema, HOOKS } from './cube-type.ts';
import { ports, tables } from './port.ts';
import type { KindSchema, Rule, Schema, Union } from './schema.ts';

/** The union of all cube types: `type` and one member each. Composed by the generator from src/cubes. */
export function cubeUnion(types: CubeTypeSchema[]): Union {
  return {
    discriminator: 'type',
    members: Object.fromEntries(types.map((t) => [t.type, t.member])),
  };
}

/** Rules that follow from a type's declaration, and those that it brings itself. */
function typeRules(type: CubeTypeSchema): Rule[] {
  const rules: Rule[] = [...type.rules];
  const allowed = JSON.stringify(type.tables);
  rules.push({
    id: 'TableTypeNotUsed',
    cel: `!has(self.tables) || self.tables.all(t, t.type in [${type.tables.map((t) => `'${t}'`).join(', ')}])`,
    message: `a ${type.type} has no use for a table of that type`,
    remedy: `select tables of type ${type.tables.join(', ')} only`,
    field: '.tables',
    twin: new Function(
      'self',
      `return (self.tables ?? []).every((t) => ${allowed}.includes(t.type));`,
    ) as Rule['twin'],
  });
  if (!type.ports.addresses) {
    rules.push({
      id: 'PortAddressNotUsed',
      cel: '!has(self.ports) || self.ports.all(p, !has(p.addresses) || p.addresses.size() == 0)',
      message: `the ports of a ${type.type} have no addresses`,
      remedy: 'remove addresses here and set them on the ports of a Router',
      field: '.ports',
      kind: 'FieldValueForbidden',
      twin: (self) =>
        (self.ports ?? []).every((p: { addresses?: string[] }) => (p.addresses ?? []).length === 0),
    });
  }
  rules.push({
    id: 'TooManyPorts',
    cel: `!has(self.ports) || self.ports.size() <= ${type.ports.max}`,
    message: `a ${type.type} has at most ${type.ports.max} ports`,
    remedy: 'remove ports, or spread them over several cubes',
    field: '.ports',
    twin: new Function('self', `return (self.ports ?? []).length <= ${type.ports.max};`) as Rule['twin'],
  });
  return rules.map((rule) => ({
    ...rule,
    cel: `self.type != '${type.type}' || (${rule.cel})`,
    twin: new Function(
      'self',
      'library',
      'old',
      `return self.type !== '${type.type}' || (${rule.twin.toString()})(self, library, old);`,
    ) as Rule['twin'],
  }));
}

/** What a Cube and a template of a chain have in common: type, hook, ports, tables and the member of the type. */
export function cubeBody(types: CubeTypeSchema[]): {
  properties: Record<string, Schema>;
  rules: Rule[];
  union: Union;
} {
  const union = cubeUnion(types);
  return {
    union,
    properties: {
      type: choice(
        `Which network function it is. ${types.map((t) => `${t.type}: ${t.description}`).join(' ')}`,
        types.map((t) => t.type),
      ),
      hook: choice(
        'Where it runs in the kernel. TC: on the way of packets in both directions. XDP: on what an interface receives, before the kernel makes a packet of it; only right behind an Interface endpoint, or behind another cube at XDP. Cgroup: on what processes ask of their sockets, before there is a packet; without ports and links.',
        HOOKS,
        {
          default: 'TC',
        },
      ),
      ports,
      tables,
      ...Object.fromEntries(types.map((t) => [t.member, t.schema])),
    },
    rules: [...unionRules(union), ...types.flatMap(typeRules)],
  };
}

export function cubeKind(types: CubeTypeSchema[]): KindSchema {
  const body = cubeBody(types);
  const { type, ...rest } = body.properties;
  return {
    kind: 'Cube',
    plural: 'cubes',
    singular: 'cube',
    shortNames: ['cb'],
    scope: 'Namespaced',
    description:
      'One network function on one node, run as an eBPF program in the kernel. Most cubes are made by the operator from a ServiceChain, as Pods are from a DaemonSet.',
    spec: object(
      'What the cube is and does.',
      {
        nodeName: dnsSubdomain('Node in whose kernel the cube runs. Cannot be changed.', {
          rules: [immutable('the node of a cube', 'delete the cube and create one for the other node')],
        }),
        type: {
          ...type,
          rules: [immutable('the type of a cube', 'delete the cube and create one of the other type')],
        },
        ...rest,
      },
      ['nodeName', 'type'],
      { typeName: 'CubeSpec', union: body.union, rules: body.rules },
    ),
    status: statusOf(
      ['Accepted', 'ResolvedRefs', 'Programmed', 'Ready'],
      'the agent of the node',
      {
        program: object(
          'The program in the kernel.',
          {
            tag: text('Tag that the kernel computed from its instructions, as bpftool shows it.', 16, {
              pattern: '^[0-9a-f]{16}$',
            }),
            abi: integer('Version of the cube ABI that it was built for.', 1, 65535),
            mode: choice(
              'At the XDP hook, how its interface runs it. Native: in the driver. Generic: in the kernel, later and slower, on any device.',
              ['Native', 'Generic', 'Offloaded'],
            ),
          },
          [],
          { typeName: 'CubeProgram' },
        ),
        ports: mapList(
          'Ports that are linked.',
          ['name'],
          object(
            'State of one port.',
            {
              name: dnsLabel('Name of the port.'),
              peer: text('What it is linked to: CUBE/PORT, or the type and name of another endpoint.', 512),
              state: choice('Up: packets pass.', ['Up', 'Down', 'Unknown']),
            },
            ['name', 'state'],
            { typeName: 'PortStatus' },
          ),
          64,
        ),
      },
      'CubeStatus',
    ),
    printerColumns: [
      { name: 'Node', type: 'string', jsonPath: '.spec.nodeName', description: 'Node of the cube' },
      { name: 'Type', type: 'string', jsonPath: '.spec.type', description: 'Network function' },
      {
        name: 'Ready',
        type: 'string',
        jsonPath: ".status.conditions[?(@.type=='Ready')].status",
        description: 'Whether packets pass',
      },
      {
        name: 'Reason',
        type: 'string',
        jsonPath: ".status.conditions[?(@.type=='Ready')].reason",
        description: 'Why it is or is not ready',
      },
      {
        name: 'Programmed',
        type: 'string',
        jsonPath: ".status.conditions[?(@.type=='Programmed')].status",
        description: 'Whether the kernel holds it',
        priority: 1,
      },
      { name: 'Hook', type: 'string', jsonPath: '.spec.hook', description: 'Where it runs', priority: 1 },
      {
        name: 'Program',
        type: 'string',
        jsonPath: '.status.program.tag',
        description: 'Tag of its program',
        priority: 1,
      },
      {
        name: 'Age',
        type: 'date',
        jsonPath: '.metadata.creationTimestamp',
        description: 'Time since creation',
      },
    ],
    selectableFields: ['.spec.nodeName', '.spec.type'],
    conditions: { ...CONDITIONS },
  };
}
