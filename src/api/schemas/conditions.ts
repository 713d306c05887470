// SPDX-License-Identifier: Apache-2.0
/** The status conditions of every kind (metav1.Condition) and what a status holds before anybody wrote it. */
import { choice, integer, mapList, object, text } from './build.ts';
import type { Schema } from './schema.ts';

/** What each condition means; Ready, Reconciling and Stalled are what kstatus reads (Flux, Argo CD, kubectl wait). */
export const CONDITIONS = {
  Accepted: 'The object is understood and this release does what it asks for.',
  ResolvedRefs: 'Every object and interface that it names exists and fits.',
  Programmed: 'The kernel holds what the object says, at the observed generation.',
  Ready: 'Accepted, resolved and programmed: packets pass.',
  Reconciling: 'Work towards the newest generation is under way. Absent when there is none.',
  Stalled: 'Nothing more will happen until somebody changes an object. Absent otherwise.',
} as const;

export type ConditionName = keyof typeof CONDITIONS;

const condition: Schema = object(
  'One condition.',
  {
    type: text('Name of the condition.', 316, { minLength: 1 }),
    status: choice('Whether it holds.', ['True', 'False', 'Unknown']),
    reason: text('One word for the reason of the last transition, in PascalCase.', 1024, {
      minLength: 1,
      pattern: '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$',
    }),
    message: text('What happened, for people: the object, the field, what to do.', 32768),
    lastTransitionTime: { type: 'string', format: 'date-time', description: 'When the status last changed.' },
    observedGeneration: integer('Generation of the object that the condition was made from.', 0, 2 ** 53 - 1),
  },
  ['type', 'status', 'reason', 'message', 'lastTransitionTime'],
  { typeName: 'Condition' },
);

/** Conditions of a new object: all Unknown, so that `kubectl wait` and printer columns have something to show. */
export function conditionList(names: ConditionName[], writer: string): Schema {
  return mapList('Current state of the object.', ['type'], condition, 8, {
    default: names.map((type) => ({
      type,
      status: 'Unknown',
      reason: 'Pending',
      message: `Waiting for ${writer}`,
      lastTransitionTime: '1970-01-01T00:00:00Z',
    })),
  });
}

/** A status with observedGeneration and conditions; defaulted as a whole, so that it is there from the start. */
export function statusOf(
  names: ConditionName[],
  writer: string,
  properties: Record<string, Schema>,
  typeName: string,
): Schema {
  return object(
    `Last state seen by ${writer}. Written when something changes, never for counters.`,
    {
      observedGeneration: integer('Generation of the object that this status describes.', 0, 2 ** 53 - 1),
      ...properties,
      conditions: conditionList(names, writer),
    },
    [],
    { typeName, default: {} },
  );
}
