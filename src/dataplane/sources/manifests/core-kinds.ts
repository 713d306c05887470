// SPDX-License-Identifier: Apache-2.0
/**
 * Kubernetes' own kinds that a manifest directory may hold, and a check of the fields that are read of them. A cluster's
 * API server checks them there; the meaning (is this an address?) is the translators' matter in both places.
 */

export interface FieldProblem {
  /** `spec.ports[0].port` */
  readonly field: string;
  readonly reason: string;
  readonly message: string;
  readonly remedy: string;
}

type Shape =
  | { readonly is: 'string' | 'boolean'; readonly required?: boolean }
  | {
      readonly is: 'integer';
      readonly minimum: number;
      readonly maximum: number;
      readonly required?: boolean;
    }
  | { readonly is: 'enum'; readonly values: readonly string[]; readonly required?: boolean }
  | { readonly is: 'list'; readonly of: Shape; readonly maximum: number; readonly required?: boolean }
  | { readonly is: 'object'; readonly fields: Readonly<Record<string, Shape>>; readonly required?: boolean };

const text: Shape = { is: 'string' };
const flag: Shape = { is: 'boolean' };
const texts = (maximum: number): Shape => ({ is: 'list', of: text, maximum });
const port = (required = false): Shape => ({ is: 'integer', minimum: 1, maximum: 65535, required });
const protocol: Shape = { is: 'enum', values: ['TCP', 'UDP', 'SCTP'] };
const policy: Shape = { is: 'enum', values: ['Cluster', 'Local'] };
const object = (fields: Record<string, Shape>, required = false): Shape => ({
  is: 'object',
  fields,
  required,
});
const list = (of: Shape, maximum: number, required = false): Shape => ({ is: 'list', of, maximum, required });

interface CoreKind {
  readonly apiVersion: string;
  readonly namespaced: boolean;
  readonly fields: Readonly<Record<string, Shape>>;
}

export const CORE_KINDS: Readonly<Record<string, CoreKind>> = {
  Node: {
    apiVersion: 'v1',
    namespaced: false,
    fields: {
      spec: object({ podCIDR: text, podCIDRs: texts(2) }),
      status: object({
        addresses: list(
          object({ type: { is: 'string', required: true }, address: { is: 'string', required: true } }),
          16,
        ),
      }),
    },
  },
  Service: {
    apiVersion: 'v1',
    namespaced: true,
    fields: {
      spec: object(
        {
          type: { is: 'enum', values: ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'] },
          clusterIP: text,
          clusterIPs: texts(2),
          externalIPs: texts(64),
          ports: list(object({ name: text, protocol, port: port(true), nodePort: port() }), 100),
          sessionAffinity: { is: 'enum', values: ['None', 'ClientIP'] },
          sessionAffinityConfig: object({
            clientIP: object({ timeoutSeconds: { is: 'integer', minimum: 1, maximum: 86400 } }),
          }),
          internalTrafficPolicy: policy,
          externalTrafficPolicy: policy,
          // The API server shows 0 where there is none.
          healthCheckNodePort: { is: 'integer', minimum: 0, maximum: 65535 },
          loadBalancerSourceRanges: texts(64),
          publishNotReadyAddresses: flag,
        },
        true,
      ),
      status: object({ loadBalancer: object({ ingress: list(object({ ip: text, ipMode: text }), 64) }) }),
    },
  },
  EndpointSlice: {
    apiVersion: 'discovery.k8s.io/v1',
    namespaced: true,
    fields: {
      addressType: { is: 'enum', values: ['IPv4', 'IPv6', 'FQDN'], required: true },
      endpoints: list(
        object({
          addresses: list(text, 100, true),
          conditions: object({ ready: flag, serving: flag, terminating: flag }),
          nodeName: text,
          zone: text,
          hints: object({
            forZones: list(object({ name: text }), 8),
            forNodes: list(object({ name: text }), 8),
          }),
        }),
        1000,
        true,
      ),
      ports: list(object({ name: text, protocol, port: port() }), 100),
    },
  },
};

/** What is wrong with the fields of a Node, Service or EndpointSlice that are read; others are let through. */
export function checkCoreObject(kind: string, value: Readonly<Record<string, unknown>>): FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const [name, shape] of Object.entries(CORE_KINDS[kind]?.fields ?? {})) {
    check(shape, value[name], name, problems);
  }
  return problems;
}

function check(shape: Shape, value: unknown, field: string, problems: FieldProblem[]): void {
  const add = (reason: string, message: string, remedy: string) =>
    problems.push({ field, reason, message, remedy });
  // Kubernetes takes null for absent.
  if (value === undefined || value === null) {
    if (shape.required) add('FieldMissing', 'is missing', `set ${field}`);
    return;
  }
  const wrong = (wanted: string) =>
    add('WrongType', `is ${typeText(value)}, not ${wanted}`, `write ${wanted}`);
  switch (shape.is) {
    case 'string':
    case 'boolean':
      if (typeof value !== shape.is) wrong(shape.is === 'string' ? 'a text (in quotes)' : 'true or false');
      return;
    case 'integer':
      if (!Number.isInteger(value)) wrong('a whole number');
      else if ((value as number) < shape.minimum || (value as number) > shape.maximum) {
        const range = `${shape.minimum} to ${shape.maximum}`;
        add('OutOfRange', `is ${value}, outside ${range}`, `give a number from ${range}`);
      }
      return;
    case 'enum':
      if (!shape.values.includes(value as string)) {
        const values = shape.values.join(', ');
        add('NotOneOf', `is ${JSON.stringify(value)}, which is none of ${values}`, `use one of ${values}`);
      }
      return;
    case 'list':
      if (!Array.isArray(value)) {
        wrong('a list');
        return;
      }
      if (value.length > shape.maximum) {
        add(
          'TooFewOrMany',
          `has ${value.length} elements, at most ${shape.maximum} are possible`,
          'split the object',
        );
      }
      for (const [index, element] of value.entries())
        check(shape.of, element, `${field}[${index}]`, problems);
      return;
    case 'object':
      if (typeof value !== 'object' || Array.isArray(value)) {
        wrong('an object');
        return;
      }
      for (const [name, inner] of Object.entries(shape.fields)) {
        check(inner, (value as Record<string, unknown>)[name], `${field}.${name}`, problems);
      }
  }
}

function typeText(value: unknown): string {
  return Array.isArray(value)
    ? 'a list'
    : typeof value === 'object'
      ? 'an object'
      : `${typeof value} ${JSON.stringify(value)}`;
}
