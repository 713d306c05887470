// SPDX-License-Identifier: Apache-2.0
/** Makes the schema of a template out of the schema of an object: where a variable may stand, it is let through. */
import type { Rule, Schema } from './schema.ts';

/** Room for `$(node.podCIDRs.ipv6.fictitiousPod)` and what may surround it. */
const VARIABLE_LENGTH = 64;

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
  if (schema.variable) {
    result.maxLength = VARIABLE_LENGTH;
    result.rules = [
      {
        id: 'UnknownVariable',
        cel: "!self.contains('$(') || self.matches('^\\\\$\\\\(node\\\\.(name|uplink|(internalIPs|podCIDRs)\\\\.ipv[46]|podCIDRs\\\\.ipv[46]\\\\.(gateway|fictitiousPod))\\\\)$')",
        message: 'not a variable that nodes have',
        remedy:
          'use one of $(node.internalIPs.ipv4|ipv6), $(node.podCIDRs.ipv4|ipv6) with .gateway or .fictitiousPod, as the whole value',
        twin: (self) =>
          !self.includes('$(') ||
          /^\$\(node\.(name|uplink|(internalIPs|podCIDRs)\.ipv[46]|podCIDRs\.ipv[46]\.(gateway|fictitiousPod))\)$/.test(
            self,
          ),
      },
      ...(schema.rules ?? []).map(orVariable),
    ];
  }
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
