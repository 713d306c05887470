// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { DirectSwitch, SWITCH_SECONDS } from './direct-switch.ts';

/** Follows wishes at their times, and says what came of each: `sends accepts`, and seconds until the next change. */
function course(...steps: readonly [now: number, isWanted: boolean][]): string[] {
  const all = new DirectSwitch();
  return steps.map(([now, isWanted]) => {
    all.follow(isWanted, now);
    const due = all.dueAt === undefined ? '' : ` ${all.dueAt - now}`;
    return `${all.sends ? 'sends' : '-'} ${all.accepts ? 'accepts' : '-'}${due}`;
  });
}

test('what an agent finds when it starts is in force at once', () => {
  expect(course([7, true], [8, true])).toEqual(['sends accepts', 'sends accepts']);
  expect(course([7, false], [8, false])).toEqual(['- -', '- -']);
});

test('it accepts before it sends, and goes on accepting after it has stopped', () => {
  expect(course([0, false], [10, true], [12, true], [10 + SWITCH_SECONDS, true])).toEqual([
    '- -',
    `- accepts ${SWITCH_SECONDS}`,
    `- accepts ${SWITCH_SECONDS - 2}`,
    'sends accepts',
  ]);
  expect(course([0, true], [10, false], [12, false], [10 + SWITCH_SECONDS, false])).toEqual([
    'sends accepts',
    `- accepts ${SWITCH_SECONDS}`,
    `- accepts ${SWITCH_SECONDS - 2}`,
    '- -',
  ]);
});

test('who changes his mind meanwhile is waited for anew', () => {
  expect(
    course([0, true], [10, false], [12, true], [10 + SWITCH_SECONDS, true], [12 + SWITCH_SECONDS, true]),
  ).toEqual([
    'sends accepts',
    `- accepts ${SWITCH_SECONDS}`,
    `- accepts ${SWITCH_SECONDS}`,
    '- accepts 2',
    'sends accepts',
  ]);
});

test('a dry run finds what an agent that starts finds, and takes nothing from the round that is due', () => {
  const direct = new DirectSwitch();
  direct.follow(true, 0, true);
  expect(direct.sends).toBe(true);
  direct.follow(false, 10);
  direct.follow(true, 11, true);
  direct.follow(false, 10 + SWITCH_SECONDS, true);
  expect([direct.sends, direct.accepts, direct.dueAt]).toEqual([false, true, 10 + SWITCH_SECONDS]);
});
