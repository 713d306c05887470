// SPDX-License-Identifier: Apache-2.0
/** What cube types have in common whose ports are `outside` and `inside`, and no others. */
import type { Rule } from '../api/schemas/schema.ts';
import type { CubeInput, Problem } from './cube-type.ts';

/** Settings of a port are of one of the two. */
export function outsideOrInside(rule: Pick<Rule, 'id' | 'message' | 'remedy'>): Rule {
  return {
    ...rule,
    cel: "!has(self.ports) || self.ports.all(p, p.name in ['outside', 'inside'])",
    field: '.ports',
    twin: (self) =>
      (self.ports ?? []).every((p: { name: string }) => p.name === 'outside' || p.name === 'inside'),
  };
}

/** Links that name another port. */
export function otherPorts({ name, ports }: Pick<CubeInput<unknown>, 'name' | 'ports'>): Problem[] {
  return ports
    .filter(({ id }) => id > 1)
    .map((port) => ({
      reason: 'UnknownPort',
      message: `${name} has the ports outside and inside, and a link names its port ${port.name}; link outside or inside`,
    }));
}
