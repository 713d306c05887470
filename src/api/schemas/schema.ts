// SPDX-License-Identifier: Apache-2.0
/**
 * The form that every schema of the API is written in: a structural schema of Kubernetes (apiextensions v1), plus what
 * the generator needs beside it. `npm run generate` turns it into CRDs, TypeScript types, validators and reference pages.
 */

/** Values that a rule's twin gets: any JSON. */
// biome-ignore lint/suspicious/noExplicitAny: a twin reads JSON whose shape the schema has already checked
export type Json = any;

/** What a twin may call; the counterpart of the functions that the API server adds to CEL. See rule-library.ts. */
export interface RuleLibrary {
  isIP(text: string): boolean;
  isCIDR(text: string): boolean;
  /** 4 or 6; of an address or a prefix. */
  family(text: string): 4 | 6;
  /** True when no bit is set to the right of the prefix length. */
  isMasked(cidr: string): boolean;
}

/**
 * One check beyond types and bounds: a CEL expression for the API server and its twin for a directory of manifests.
 * The twin is copied as text into generated code: it may use its arguments only. It runs on values that passed types
 * and bounds, and returns true when the value is good.
 */
export interface Rule {
  /** Reason in PascalCase, given with a refusal. */
  id: string;
  cel: string;
  /** What is wrong, for people. */
  message: string;
  /** What to do about it. */
  remedy: string;
  /** Field that the refusal names, below the one that holds the rule: `.nextHop`. */
  field?: string;
  /** Class of the refusal in the API server's answer. */
  kind?: 'FieldValueRequired' | 'FieldValueInvalid' | 'FieldValueForbidden' | 'FieldValueDuplicate';
  /** True for a rule about old and new value; it runs on updates only. */
  transition?: boolean;
  twin: (self: Json, library: RuleLibrary, old: Json) => boolean;
}

/** A union told apart by one field; the generated type has one case for each value. */
export interface Union {
  discriminator: string;
  /** Value of the discriminator → its member; null where the value has none. */
  members: Record<string, string | null>;
  /** Values whose member may be left out. */
  optional?: string[];
}

export interface Schema {
  type?: 'object' | 'array' | 'string' | 'integer' | 'boolean';
  description?: string;
  default?: unknown;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema;
  required?: string[];
  items?: Schema;
  enum?: readonly (string | number)[];
  format?: 'date-time' | 'int32' | 'int64';
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  maxItems?: number;
  minProperties?: number;
  maxProperties?: number;
  'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  'x-kubernetes-list-map-keys'?: string[];
  'x-kubernetes-map-type'?: 'atomic' | 'granular';
  'x-kubernetes-int-or-string'?: true;

  /** Unit of a number, for the reference and the description. */
  unit?: string;
  /** Name of the generated TypeScript type; the same name means the same type. */
  typeName?: string;
  union?: Union;
  rules?: Rule[];
  /** A node variable, `$(node.…)`, may stand here in a ServiceChain's templates. */
  variable?: true;
}

export interface PrinterColumn {
  name: string;
  type: 'string' | 'integer' | 'date' | 'boolean';
  jsonPath: string;
  description: string;
  /** 1 shows the column with `-o wide` only. */
  priority?: 0 | 1;
}

/** One kind of the API. */
export interface KindSchema {
  kind: string;
  plural: string;
  singular: string;
  shortNames: string[];
  scope: 'Namespaced' | 'Cluster';
  description: string;
  spec: Schema;
  /** Absent where the kind has no status. */
  status?: Schema;
  /** Rules about the whole object; of metadata they see the name only. */
  rules?: Rule[];
  printerColumns: PrinterColumn[];
  selectableFields: string[];
  /** Conditions with what each means, for the reference. */
  conditions?: Record<string, string>;
}
