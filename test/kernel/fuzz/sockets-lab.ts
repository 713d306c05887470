// SPDX-License-Identifier: Apache-2.0
/** A node and a pod with a process each, which makes calls and serves; one cgroup holds both. */
import { join } from 'node:path';
import { Caller } from '../../harness/calls.ts';
import { createCgroup } from '../../harness/cgroup.ts';
import { type Lab, openLab } from '../../harness/lab.ts';
import { createNamespace } from '../../harness/netns.ts';
import { HOST } from './sockets-model.ts';
import { BACKENDS, PROTOS, SERVED } from './sockets-world.ts';

export const NETNSES = [HOST, 'pod'] as const;

export interface SocketsLab {
  readonly lab: Lab;
  readonly callers: ReadonlyMap<string, Caller>;
  readonly cgroup: string;
  /** Of the node. */
  readonly netnsCookie: bigint;
}

/** What a server says. */
export const textOf = (netns: string, proto: string, address: string, port: number): string =>
  `${netns} ${proto} ${address} ${port}`;

export async function openSocketsLab(): Promise<SocketsLab> {
  const lab = await openLab('random sockets');
  const callers = new Map<string, Caller>();
  let cgroup = '';
  let netnsCookie = 0n;
  for (const netns of NETNSES) {
    const options = netns === HOST ? {} : { cgroup: join(cgroup, netns) };
    const namespace = await createNamespace(lab, netns, options);
    await createCgroup(namespace.cgroup);
    await namespace.ip(
      ...BACKENDS[4].map((address) => `addr add ${address}/32 dev lo`),
      ...BACKENDS[6].map((address) => `addr add ${address}/128 dev lo nodad`),
    );
    const caller = Caller.start(namespace);
    callers.set(netns, caller);
    for (const proto of Object.keys(PROTOS) as (keyof typeof PROTOS)[])
      for (const [address, port] of SERVED)
        await caller.serve(proto, [address, port], textOf(netns, proto, address, port));
    if (netns !== HOST) continue;
    cgroup = namespace.cgroup;
    netnsCookie = BigInt((await caller.call('cookie')).cookie ?? 0);
  }
  return { lab, callers, cgroup, netnsCookie };
}
