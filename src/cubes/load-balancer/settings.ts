// SPDX-License-Identifier: Apache-2.0
import type { Frontend, LoadBalancer } from '../../api/generated/types.ts';

/** What the meaning of a service depends on, in the spec of a load balancer for packets or for sockets. */
export interface ServiceChoice
  extends Pick<LoadBalancer, 'algorithm' | 'clients' | 'clusterSources' | 'scopes' | 'noBackends'> {
  /** Of the frontends of these scopes, whether it serves one. Default: all. */
  readonly serves?: (frontend: Frontend) => boolean;
}

/** The same of the tables that hold services. */
export interface ServiceSettings
  extends ServiceChoice,
    Pick<LoadBalancer, 'drainSeconds' | 'udpDrainSeconds'> {
  /** Member of `Cube.spec`, for messages. Default: loadBalancer. */
  readonly member?: 'loadBalancer' | 'socketLB';
  readonly sessions: Pick<
    LoadBalancer['sessions'],
    'maxBackends' | 'maxFrontends' | 'maxPicks' | 'maxSourceRanges'
  >;
}
