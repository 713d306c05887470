// SPDX-License-Identifier: Apache-2.0
/** What the schema allows and this release does not do yet: `Accepted=False`, reason `NotSupported`; never ignored. */
import { CUBE_HOOKS, USED_TABLES } from './generated/supported.ts';
import type { CubeplaneObject, Endpoint, PathStep, ServiceChain } from './generated/types.ts';
import type { Hook } from './schemas/cube-type.ts';

export interface NotSupported {
  reason: 'NotSupported';
  field: string;
  message: string;
  remedy: string;
}

/** Everything in the object that this release does not do; empty for an object that it does as a whole. */
export function notSupported(object: CubeplaneObject): NotSupported[] {
  switch (object.kind) {
    case 'Cube':
      return [...hook('spec', object.spec), ...macs('spec', object.spec.ports)];
    case 'CubeLink':
      return object.spec.endpoints.flatMap((end, index) => endpoint(`spec.endpoints[${index}]`, end));
    case 'CubeTable':
      return table(object.spec.type);
    case 'ServiceChain':
      return chain(object.spec);
    case 'CubeNode':
      return [];
  }
}

function no(field: string, message: string, remedy: string): NotSupported {
  return { reason: 'NotSupported', field, message, remedy };
}

function hook(at: string, cube: { type: string; hook: Hook }): NotSupported[] {
  const own = CUBE_HOOKS[cube.type] ?? ['TC'];
  if (own.includes(cube.hook)) return [];
  const able = Object.entries(CUBE_HOOKS).flatMap(([type, hooks]) =>
    hooks.includes(cube.hook) ? [type] : [],
  );
  const which = able.length === 0 ? 'no cube' : `only ${able.join(', ')}, no ${cube.type},`;
  const remedy = own.includes('TC') ? 'set hook to TC or leave it out' : `set hook to ${own.join(' or ')}`;
  return [no(`${at}.hook`, `this release runs ${which} at the ${cube.hook} hook`, remedy)];
}

function macs(at: string, ports: readonly { mac?: string }[] = []): NotSupported[] {
  return ports.flatMap(({ mac }, index) =>
    mac === undefined
      ? []
      : [no(`${at}.ports[${index}].mac`, 'this release uses one fixed MAC on all ports', 'remove the field')],
  );
}

function endpoint(at: string, end: Endpoint | PathStep): NotSupported[] {
  if (end.type === 'Pods' && end.pods?.selector) {
    const remedy = 'remove the selector: the endpoint then stands for all pods of the node';
    return [no(`${at}.pods.selector`, 'this release joins all pods of a node, not some of them', remedy)];
  }
  return [];
}

function table(type: string): NotSupported[] {
  // the operator reads pools, no cube does
  if (type === 'AddressPool' || USED_TABLES.includes(type)) return [];
  const used = USED_TABLES.join(', ');
  return [
    no('spec.type', `no cube of this release uses a table of type ${type}`, `use a table of type ${used}`),
  ];
}

function chain(spec: ServiceChain['spec']): NotSupported[] {
  const found: NotSupported[] = [];
  if (spec.target.type === 'Pods') {
    const remedy = 'set target.type to Nodes and select nodes, or to Link';
    found.push(no('spec.target.type', 'this release has no chains on Pods', remedy));
  }
  if (spec.updateStrategy.type !== 'AllAtOnce') {
    const remedy = 'set updateStrategy.type to AllAtOnce or leave it out';
    const message = `this release does not do ${spec.updateStrategy.type}`;
    found.push(no('spec.updateStrategy.type', message, remedy));
  }
  for (const [index, cube] of spec.cubes.entries()) {
    const at = `spec.cubes[${index}]`;
    found.push(...hook(at, cube), ...macs(at, cube.ports));
  }
  const links = spec.links ?? [];
  found.push(
    ...links.flatMap((link, l) =>
      link.endpoints.flatMap((end, e) => endpoint(`spec.links[${l}].endpoints[${e}]`, end)),
    ),
    ...(spec.path ?? []).flatMap((step, index) => endpoint(`spec.path[${index}]`, step)),
  );
  return found;
}
