// SPDX-License-Identifier: Apache-2.0

/** Words of JSON schema that restrict a value: CRDs and validators take the same ones, so that both refuse the same. */
export const CONSTRAINTS = [
  'enum',
  'pattern',
  'minLength',
  'maxLength',
  'minimum',
  'maximum',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
  'required',
] as const;
