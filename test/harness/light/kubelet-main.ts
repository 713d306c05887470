// SPDX-License-Identifier: Apache-2.0
/** kubelet-main.ts CONFIG: the kubelets of a light cluster, as {@link KubeletConfig} says; it ends with the lab. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { connect } from '../../../src/k8s/client.ts';
import { Lab } from '../lab.ts';
import { Namespace } from '../netns.ts';
import { LightKubelet } from './kubelet.ts';

export interface KubeletConfig {
  readonly lab: string;
  /** Of the lab. */
  readonly cgroup: string;
  readonly kubeconfig: string;
  readonly nodes: readonly { readonly name: string; readonly addresses: { ipv4: string; ipv6: string } }[];
}

const config = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as KubeletConfig;
const log = pino();
const lab = new Lab(config.lab, config.cgroup, { detached: true, log: (line) => log.info(line) });
const nodes = config.nodes.map(({ name, addresses }) => ({
  name,
  addresses,
  namespace: new Namespace(lab, name, join(config.cgroup, name)),
}));
await new LightKubelet(await connect({ kubeconfig: config.kubeconfig }), nodes, log).start();
log.info('ready');
