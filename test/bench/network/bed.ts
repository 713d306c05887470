// SPDX-License-Identifier: Apache-2.0

import { startOperator } from '../../harness/cubeplane.ts';
import { installApi, operatorKubeconfig } from '../../harness/kube/access.ts';
import { startCluster } from '../../harness/kube/cluster.ts';
import type { Lab } from '../../harness/lab.ts';
import { createMachine, createUnderlay } from '../../harness/topology.ts';
/** All alternatives on one underlay, with one real API server that feeds them all. */
import type { Family } from '../connect.ts';
import { joinCubeplane, untilServed } from './cubeplane.ts';
import { serve } from './load.ts';
import type { Alternative, Way } from './names.ts';
import { joinPlain, joinVxlan, startKubeProxies, vethRoute } from './plain.ts';
import { prepareStarts, untilAnswered, untilRouteAnswers } from './service-start.ts';
import { addFiller, addServices } from './services.ts';
import { type Bed, createSite, direct, PORTS, type Route, type Site } from './site.ts';

/** Host number of the machine that asks node ports. */
const OUTSIDE_HOST = 250;
/** Until ten thousand new Services are in the kernel of all nodes: the operator writes a table of each. */
const CATCH_UP_MS = 1_500_000;

export interface Laid {
  /** What can be asked, by way. */
  readonly routes: Readonly<Record<Way, Partial<Record<Alternative, Route>>>>;
  /** Sites that know Services. */
  readonly sites: readonly Site[];
  readonly bed: Bed;
  /** Services that there are. */
  services(): number;
  /** What the agents say that they have dropped. */
  drops(): Promise<string>;
  /** Adds Services that nobody asks until there are so many; resolves when all sites have them in the kernel. */
  grow(services: number): Promise<void>;
}

export interface BedOptions {
  readonly family: Family;
  readonly pingpong: string;
  /** Whether Cubeplane with direct routes is one of the alternatives. */
  readonly withDirect: boolean;
  say(line: string): void;
}

/** Brings up all alternatives; they end with the lab. */
export async function layBed(lab: Lab, { family, pingpong, withDirect, say }: BedOptions): Promise<Laid> {
  const underlay = await createUnderlay(lab);
  const cluster = await startCluster(underlay, { log: say });
  await installApi(cluster);
  await startOperator(cluster.machine, await operatorKubeconfig(cluster));
  const outside = await createMachine(underlay, 'outside', OUTSIDE_HOST);
  const bed: Bed = { underlay, cluster, outside, family };

  const site = (name: Alternative, index: number): Promise<Site> => createSite(bed, name, index);
  const plain = await site('plain', 0);
  const proxied = [await site('iptables', 1), await site('nftables', 2)];
  const tunnel = await site('cubeplane', 3);
  const ours = withDirect ? [tunnel, await site('cubeplane-direct', 4)] : [tunnel];
  const sites = [...proxied, ...ours];
  const veth = await vethRoute(bed);
  await serve(veth, pingpong);
  for (const { client, near, far } of [plain, ...sites])
    for (const pod of [near, far]) await serve(direct(bed, client.namespace, pod), pingpong);
  say('nodes, pods and servers are there');

  const agents = (await Promise.all(ours.map((one) => joinCubeplane(bed, one, one !== tunnel)))).flat();
  await joinPlain(bed, plain);
  for (const one of proxied) {
    await joinVxlan(one);
    await startKubeProxies(bed, one);
  }
  say('kube-proxies and agents run');

  // "kubernetes", which the API server has of itself, is the first
  let [services, frontends] = [1, 1];
  for (const one of sites) {
    const added = await addServices(bed, one);
    services += added.services;
    frontends += added.frontends;
  }
  const settle = async (): Promise<void> => {
    for (const agent of agents) await untilServed(agent, frontends, CATCH_UP_MS);
    for (const one of [plain, ...sites]) await untilAnswered(one, pingpong, 120_000);
  };
  await settle();
  let filler = 0;
  return {
    routes: routesOf([plain, ...sites], veth),
    sites,
    bed,
    services: () => services,
    drops: async () => {
      const told = await Promise.all(agents.map((agent) => agent.cli(['drops'], { anyStatus: true })));
      return told.map(({ stdout }, index) => `${agents[index]?.node.name}\n${stdout}`).join('\n');
    },
    grow: async (wanted) => {
      const more = Math.max(0, wanted - services);
      await addFiller(bed, filler, filler + more);
      filler += more;
      services += more;
      frontends += more;
      // who answers for a Service that came after these has them all
      const last = (await Promise.all(sites.map((one) => prepareStarts(bed, one, 1)))).flat();
      for (const service of last) await service.makeReady();
      for (const { address, site: one } of last) {
        const route = { client: one.client.namespace, addresses: [address], ports: PORTS };
        await untilRouteAnswers(route, pingpong, CATCH_UP_MS);
      }
      for (const service of last) await service.remove();
      await settle();
    },
  };
}

function routesOf(sites: readonly Site[], veth: Route): Laid['routes'] {
  const routes: Partial<Record<Way, Partial<Record<Alternative, Route>>>> = { 'pod-same': { veth } };
  for (const { name, routes: own } of sites) {
    for (const [way, route] of Object.entries(own) as [Way, Route][])
      routes[way] = { ...routes[way], [name]: route };
  }
  return routes as Laid['routes'];
}
