// SPDX-License-Identifier: Apache-2.0
/** Makes the schema of a template out of the schema of an object: where a variable may stand, it is let through. */
import type { Rule, Schema } from './schema.ts';

/** Variables that stand for an address or a prefix, as a whole value; an address may get a prefix length for one host. */
export const ADDRESS_VARIABLES = [
  '$(node.podCIDRs.ipv4)',
  '$(node.podCIDRs.ipv6)',
  '$(node.podCIDRs.ipv4.gateway)',
  '$(node.podCIDRs.ipv6.gateway)',
  '$(node.podCIDRs.ipv4.fictitiousPod)',
  '$(node.podCIDRs.ipv6.fictitiousPod)',
  '$(node.podCIDRs.ipv4.fictitiousPod)/32',
  '$(node.podCIDRs.ipv6.fictitiousPod)/128',
  '$(node.internalIPs.ipv4)',
  '$(node.internalIPs.ipv6)',
  '$(node.internalIPs.ipv4)/32',
  '$(node.internalIPs.ipv6)/128',
] as const;

/** Not a regular expression: the API server's estimate of its cost would be over the limit for all routes of a chain. */
const KNOWN: Rule = {
  id: 'UnknownVariable',
  cel: `!self.contains('$(') || self in [${ADDRESS_VARIABLES.map((name) => `'${name}'`).join(', ')}]`,
  message: 'not a variable that stands for an address or prefix of a node',
  remedy:
    'use $(node.internalIPs.ipv4|ipv6) or $(node.podCIDRs.ipv4|ipv6), the latter with .gateway or .fictitiousPod, as the whole value',
  twin: new Function(
    'self',
    `return !self.includes('$(') || ${JSON.stringify(ADDRESS_VARIABLES)}.includes(self);`,
  ) as Rule['twin'],
};

/** Rules that read a field which may hold a variable guard themselves with isIP and isCIDR, so only the leaf changes. */
export function asTemplate(schema: Schema): Schema {
  const result: Schema = { ...schema };
  if (schema.properties) {
    result.properties = Object.fromEntries(
      Object.entries(schema.properties).map(([name, property]) => [name, asTemplate(property)]),
    );
  }
  if (schema.items) result.items = asTemplate(schema.items);
  if (schema.additionalProperties) result.additionalProperties = asTemplate(schema.additionalProperties);
  if (schema.variable) result.rules = [KNOWN, ...(schema.rules ?? []).map(orVariable)];
  return result;
}

function orVariable(rule: Rule): Rule {
  return {
    ...rule,
    cel: `self.contains('$(') || (${rule.cel})`,
    twin: new Function(
      'self',
      'library',
      'old',
      `return self.includes('$(') || (${rule.twin.toString()})(self, library, old);`,
    ) as Rule['twin'],
  };
}
