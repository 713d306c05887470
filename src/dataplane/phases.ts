// SPDX-License-Identifier: Apache-2.0
/** Which actions of a plan may be done before all objects have been seen. */
import type { Action } from './actions.ts';

/** Actions that wait until all objects have been seen. */
export const PRUNING = new Set<Action['op']>([
  'ClearSlot',
  'RemoveInstance',
  'RemoveStateMaps',
  'Detach',
  'DeleteRows',
  'RemoveEntry',
  'TakeOverLink',
  'TakeOverXdp',
  'RemoveAbi',
  'DetachXdp',
  'RemoveXdpEntry',
  'DetachCgroup',
  'TakeOverCgroup',
  // Without the tables it is not known which sources the overlay lets in.
  'WriteConfig',
]);
/** All that is done before, where it is not known what was in force: pods can be plugged. */
export const PLUGGING = new Set<Action['op']>([
  'CreateMaps',
  'AddMaps',
  'LoadEntry',
  'WriteRows',
  'Attach',
  'AttachFilter',
]);
