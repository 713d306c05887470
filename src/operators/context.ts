// SPDX-License-Identifier: Apache-2.0
import type { Applier } from '../k8s/apply.ts';
import type { KubeClient } from '../k8s/client.ts';
import type { EventRecorder } from '../k8s/events.ts';
import type { Log } from '../k8s/log.ts';
import type { World } from './world.ts';

/** What every controller is given. */
export interface ControllerContext {
  world: World;
  client: KubeClient;
  applier: Applier;
  events: EventRecorder;
  namespace: string;
  log: Log;
}
