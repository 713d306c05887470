// SPDX-License-Identifier: Apache-2.0
/** Small schemas that many fields share: names, addresses, numbers with a unit, unions, label selectors. */
import type { Rule, Schema, Union } from './schema.ts';

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';

/** RFC 1123 label, at most 63 characters. */
export function dnsLabel(description: string, extra: Schema = {}): Schema {
  return { type: 'string', description, minLength: 1, maxLength: 63, pattern: `^${LABEL}$`, ...extra };
}

/** RFC 1123 subdomain, at most 253 characters: the name of most Kubernetes objects. */
export function dnsSubdomain(description: string, extra: Schema = {}): Schema {
  return {
    type: 'string',
    description,
    minLength: 1,
    maxLength: 253,
    pattern: `^${LABEL}(\\.${LABEL})*$`,
    ...extra,
  };
}

export function text(description: string, maxLength: number, extra: Schema = {}): Schema {
  return { type: 'string', description, maxLength, ...extra };
}

export function choice(description: string, values: readonly string[], extra: Schema = {}): Schema {
  return { type: 'string', description, enum: values, ...extra };
}

export function integer(description: string, minimum: number, maximum: number, extra: Schema = {}): Schema {
  const format = maximum > 2 ** 31 - 1 ? 'int64' : 'int32';
  return { type: 'integer', format, description, minimum, maximum, ...extra };
}

export function flag(description: string, value: boolean): Schema {
  return { type: 'boolean', description, default: value };
}

/** Length of the longest IPv6 address in text, and of the longest node variable. */
const IP_LENGTH = 45;
const CIDR_LENGTH = 49;

/** An IPv4 or IPv6 address, without zone; IPv4-mapped IPv6 is refused, as by the API server's `isIP`. */
export function ip(description: string, extra: Schema = {}): Schema {
  return {
    type: 'string',
    description,
    minLength: 2,
    maxLength: IP_LENGTH,
    variable: true,
    rules: [
      {
        id: 'InvalidAddress',
        cel: 'isIP(self)',
        message: 'not an IP address',
        remedy:
          'write one IPv4 or IPv6 address, such as 10.0.0.1 or fd00::1, without prefix length, zone or leading zeros',
        twin: (self, library) => library.isIP(self),
      },
    ],
    ...extra,
  };
}

const CIDR_RULE: Rule = {
  id: 'InvalidCIDR',
  cel: 'isCIDR(self)',
  message: 'not an address with prefix length',
  remedy: 'write it like 10.244.1.0/24 or fd00:244:1::/64, without leading zeros',
  twin: (self, library) => library.isCIDR(self),
};

/** An address with its prefix length; bits to the right of the prefix may be set, as on an interface. */
export function interfaceAddress(description: string, extra: Schema = {}): Schema {
  return {
    type: 'string',
    description,
    minLength: 4,
    maxLength: CIDR_LENGTH,
    variable: true,
    rules: [CIDR_RULE],
    ...extra,
  };
}

/** A prefix: no bit set to the right of its length. */
export function cidr(description: string, extra: Schema = {}): Schema {
  return interfaceAddress(description, {
    rules: [
      CIDR_RULE,
      {
        id: 'CIDRHasHostBits',
        cel: '!isCIDR(self) || cidr(self) == cidr(self).masked()',
        message: 'bits are set to the right of the prefix length',
        remedy: 'write the network address (10.244.1.0/24, not 10.244.1.7/24)',
        twin: (self, library) => !library.isCIDR(self) || library.isMasked(self),
      },
    ],
    ...extra,
  });
}

/** Six octets in lower or upper case; group addresses (lowest bit of the first octet) are refused by the pattern. */
export function mac(description: string): Schema {
  return {
    type: 'string',
    description,
    minLength: 17,
    maxLength: 17,
    pattern: '^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$',
  };
}

export function object(
  description: string,
  properties: Record<string, Schema>,
  required: string[] = [],
  extra: Schema = {},
): Schema {
  return {
    type: 'object',
    description,
    properties,
    ...(required.length > 0 ? { required } : {}),
    ...extra,
  };
}

/**
 * A list without duplicates of single values. Such a list, and a {@link mapList}, must not be empty by default in an object that
 * may be `{}`: the API server takes the object away when it is applied by the same manager again. Leave the default out, or take
 * an {@link atomicList}.
 */
export function setOf(description: string, items: Schema, maxItems: number, extra: Schema = {}): Schema {
  return { type: 'array', description, items, maxItems, 'x-kubernetes-list-type': 'set', ...extra };
}

/** A list of objects, each owned by itself, told apart by the keys. */
export function mapList(
  description: string,
  keys: string[],
  items: Schema,
  maxItems: number,
  extra: Schema = {},
): Schema {
  return {
    type: 'array',
    description,
    items,
    maxItems,
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': keys,
    ...extra,
  };
}

/** A list that is replaced as a whole; its order counts. */
export function atomicList(description: string, items: Schema, maxItems: number, extra: Schema = {}): Schema {
  return { type: 'array', description, items, maxItems, 'x-kubernetes-list-type': 'atomic', ...extra };
}

/** One rule a member: it stands exactly when the discriminator says so. `typeOnly`: a value whose member is optional. */
export function unionRules(union: Union): Rule[] {
  const rules: Rule[] = [];
  const { discriminator } = union;
  for (const [value, member] of Object.entries(union.members)) {
    if (member === null) continue;
    const optional = union.optional?.includes(value) ?? false;
    const is = `self.${discriminator} == '${value}'`;
    // A twin is copied as text, so it cannot close over `member`: it is built from text that holds the names.
    const isTwin = `self[${JSON.stringify(discriminator)}] === ${JSON.stringify(value)}`;
    const has = `Object.hasOwn(self, ${JSON.stringify(member)})`;
    rules.push({
      id: optional ? 'MemberNotOfType' : 'MemberMismatch',
      cel: optional ? `${is} || !has(self.${member})` : `has(self.${member}) == (${is})`,
      message: optional
        ? `${member} is set, but ${discriminator} is not ${value}`
        : `${member} must be set when ${discriminator} is ${value}, and only then`,
      remedy: optional
        ? `remove ${member} or set ${discriminator} to ${value}`
        : `set the member that belongs to ${discriminator} and remove the others`,
      field: `.${member}`,
      twin: new Function(
        'self',
        optional ? `return ${isTwin} || !${has};` : `return ${has} === (${isTwin});`,
      ) as Rule['twin'],
    });
  }
  return rules;
}

/** The field keeps its first value: a rule of the string or number itself. */
export function immutable(name: string, remedy: string): Rule {
  return {
    id: 'Immutable',
    cel: 'self == oldSelf',
    message: `${name} cannot be changed`,
    remedy,
    transition: true,
    twin: (self, _library, old) => self === old,
  };
}

const labelValue = text('Value of the label.', 63);

/** metav1.LabelSelector, bounded. */
export function labelSelector(description: string): Schema {
  return object(
    description,
    {
      matchLabels: {
        type: 'object',
        description: 'Labels that must have these values. All of them must match.',
        maxProperties: 32,
        additionalProperties: labelValue,
      },
      matchExpressions: atomicList(
        'Requirements on labels. All of them must match.',
        object(
          'One requirement.',
          {
            key: text('Name of the label.', 317, { minLength: 1 }),
            operator: choice('Relation of the label to the values.', [
              'In',
              'NotIn',
              'Exists',
              'DoesNotExist',
            ]),
            values: atomicList('Values for In and NotIn; empty for Exists and DoesNotExist.', labelValue, 64),
          },
          ['key', 'operator'],
          {
            typeName: 'LabelSelectorRequirement',
            rules: [
              {
                id: 'SelectorValues',
                cel: "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
                message: 'values do not fit the operator',
                remedy: 'give at least one value with In and NotIn, none with Exists and DoesNotExist',
                field: '.values',
                twin: (self) =>
                  (self.operator === 'In' || self.operator === 'NotIn') === (self.values?.length ?? 0) > 0,
              },
            ],
          },
        ),
        16,
      ),
    },
    [],
    { typeName: 'LabelSelector', 'x-kubernetes-map-type': 'atomic' },
  );
}
