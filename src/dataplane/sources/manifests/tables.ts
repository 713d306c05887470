// SPDX-License-Identifier: Apache-2.0
import type { Cube, CubeTable, ServiceChain } from '../../../api/generated/types.ts';
import type { Diagnostic } from '../../../operators/diagnostic.ts';
import type { EndpointSliceInput, NodeInput, ServiceInput } from '../../../operators/inputs.ts';
import { KUBERNETES_LABELS } from '../../../operators/labels.ts';
import { tablesOfNode } from '../../../operators/node.ts';
import { tablesOfService } from '../../../operators/service.ts';
import type { KubeManifest } from './manifest-object.ts';

export interface Tables {
  readonly tables: readonly CubeTable[];
  readonly diagnostics: readonly Diagnostic[];
}

interface Remembered extends Tables {
  /** What it was made from, by identity. */
  readonly from: readonly KubeManifest[];
}

/**
 * Services, EndpointSlices and Nodes → CubeTables, by the operator's own functions. Remembers what it made of each owner,
 * so that a change of one Service among ten thousand costs one translation.
 */
export class TableTranslator {
  #remembered = new Map<string, Remembered>();

  /** The tables of all owners, in every namespace in which a cube selects tables of their type. */
  translate(objects: readonly KubeManifest[]): Tables {
    const next = new Map<string, Remembered>();
    const diagnostics: Diagnostic[] = [];
    const slices = slicesByService(objects, diagnostics);
    const namespaces = {
      Service: selectingNamespaces(objects, 'Service'),
      Route: selectingNamespaces(objects, 'Route'),
    };
    for (const object of objects) {
      if (object.kind !== 'Service' && object.kind !== 'Node') continue;
      const key = `${object.kind}/${object.metadata.namespace ?? ''}/${object.metadata.name}`;
      const own = object.kind === 'Service' ? (slices.get(key.slice('Service/'.length)) ?? []) : [];
      const type = object.kind === 'Service' ? 'Service' : 'Route';
      for (const namespace of namespaces[type]) {
        const place = `${namespace} ${key}`;
        const from = [object, ...own];
        const last = this.#remembered.get(place);
        next.set(
          place,
          last !== undefined && sameElements(last.from, from)
            ? last
            : { from, ...make(object, own, namespace) },
        );
      }
    }
    this.#remembered = next;
    const made = [...next.values()];
    return {
      tables: made.flatMap((entry) => entry.tables),
      diagnostics: [...diagnostics, ...made.flatMap((entry) => entry.diagnostics)],
    };
  }
}

function make(owner: KubeManifest, slices: readonly KubeManifest[], namespace: string): Tables {
  return owner.kind === 'Service'
    ? tablesOfService(owner as ServiceInput, slices as readonly EndpointSliceInput[], { namespace })
    : tablesOfNode(owner as NodeInput, { namespace });
}

function sameElements(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((element, index) => element === b[index]);
}

function slicesByService(
  objects: readonly KubeManifest[],
  diagnostics: Diagnostic[],
): Map<string, KubeManifest[]> {
  const slices = new Map<string, KubeManifest[]>();
  for (const object of objects) {
    if (object.kind !== 'EndpointSlice') continue;
    const { namespace = '', name, labels } = object.metadata;
    const service = labels?.[KUBERNETES_LABELS.serviceName];
    if (service === undefined) {
      diagnostics.push({
        object: `EndpointSlice ${namespace}/${name}`,
        field: 'metadata.labels',
        reason: 'MissingField',
        message: `without the label ${KUBERNETES_LABELS.serviceName} the slice belongs to no Service`,
        remedy: `set ${KUBERNETES_LABELS.serviceName} to the name of the Service`,
      });
      continue;
    }
    const key = `${namespace}/${service}`;
    const list = slices.get(key);
    if (list === undefined) slices.set(key, [object]);
    else list.push(object);
  }
  return slices;
}

function selectingNamespaces(objects: readonly KubeManifest[], type: 'Service' | 'Route'): Set<string> {
  const namespaces = new Set<string>();
  const selects = (cube: { tables?: { type: string }[] }) =>
    cube.tables?.some((table) => table.type === type);
  for (const object of objects) {
    const namespace = object.metadata.namespace ?? '';
    if (object.kind === 'Cube' && selects(object.spec as Cube['spec'])) namespaces.add(namespace);
    if (object.kind !== 'ServiceChain') continue;
    if ((object.spec as ServiceChain['spec']).cubes.some(selects)) namespaces.add(namespace);
  }
  return namespaces;
}
