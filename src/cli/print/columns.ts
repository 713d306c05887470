// SPDX-License-Identifier: Apache-2.0
import { cubeKind } from '../../api/schemas/cube.ts';
import { cubeLink } from '../../api/schemas/cube-link.ts';
import { cubeNode } from '../../api/schemas/cube-node.ts';
import { cubeTable } from '../../api/schemas/cube-table.ts';
import type { PrinterColumn } from '../../api/schemas/schema.ts';
import { serviceChainKind } from '../../api/schemas/service-chain.ts';
import { type KindInfo, qualifiedName } from '../kinds.ts';
import type { ViewObject } from '../view/object-view.ts';
import { valuesAt } from './json-path.ts';
import { ageText, tableLines } from './table.ts';

const CREATED = '.metadata.creationTimestamp';
const text = (name: string, jsonPath: string, wide = false): PrinterColumn => ({
  name,
  type: jsonPath === CREATED ? 'date' : 'string',
  jsonPath,
  description: '',
  ...(wide ? { priority: 1 } : {}),
});

/** Of Kubernetes' own kinds, whose printers live in the API server. */
const CORE_COLUMNS: Readonly<Record<string, readonly PrinterColumn[]>> = {
  Node: [
    text('Pod-CIDRs', '.spec.podCIDRs[*]'),
    text('Internal-IPs', ".status.addresses[?(@.type=='InternalIP')].address"),
    text('Age', CREATED),
  ],
  Service: [
    text('Type', '.spec.type'),
    text('Cluster-IP', '.spec.clusterIP'),
    text('Ports', '.spec.ports[*].port'),
    text('Age', CREATED),
    text('Cluster-IPs', '.spec.clusterIPs[*]', true),
  ],
  EndpointSlice: [
    text('AddressType', '.addressType'),
    text('Ports', '.ports[*].port'),
    text('Endpoints', '.endpoints[*].addresses[0]'),
    text('Age', CREATED),
  ],
};

function columnsOf(kind: string): readonly PrinterColumn[] {
  // The columns do not depend on which cube types there are.
  const schemas = [cubeKind([]), cubeLink, cubeNode, cubeTable, serviceChainKind([])];
  return (
    schemas.find((schema) => schema.kind === kind)?.printerColumns ??
    CORE_COLUMNS[kind] ?? [text('Age', CREATED)]
  );
}

export interface TableOptions {
  readonly wide: boolean;
  readonly showNamespace: boolean;
  /** Names with their kind in front: where one output holds several kinds. */
  readonly qualified: boolean;
  readonly showLabels: boolean;
  readonly now: Date;
}

export function objectHeader(info: KindInfo, options: TableOptions): string[] {
  const columns = visible(info, options).map((column) => column.name.toUpperCase());
  const head = options.showNamespace && info.namespaced ? ['NAMESPACE', 'NAME'] : ['NAME'];
  return [...head, ...columns, ...(options.showLabels ? ['LABELS'] : [])];
}

export function objectRow(info: KindInfo, object: ViewObject, options: TableOptions): string[] {
  const { name, namespace, labels } = object.metadata;
  const called = options.qualified ? qualifiedName(info, name) : name;
  const head = options.showNamespace && info.namespaced ? [namespace ?? '', called] : [called];
  const cells = visible(info, options).map((column) => {
    const values = valuesAt(object, column.jsonPath);
    if (column.type === 'date') return ageText(values[0], options.now);
    return values.length === 0 ? '' : values.map(String).join(',');
  });
  const shown = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return [...head, ...cells, ...(options.showLabels ? [shown.join(',') || '<none>'] : [])];
}

/** The table of objects of one kind, with the columns that its CRD declares. */
export function objectTable(info: KindInfo, objects: readonly ViewObject[], options: TableOptions): string[] {
  const rows = objects.map((object) => objectRow(info, object, options));
  return tableLines(objectHeader(info, options), rows);
}

function visible(info: KindInfo, options: TableOptions): readonly PrinterColumn[] {
  return columnsOf(info.kind).filter((column) => options.wide || (column.priority ?? 0) === 0);
}
