// SPDX-License-Identifier: Apache-2.0
/** Probes and what came of them → what is told. Pure. */
import type { Leg, Place } from './legs.ts';
import { type Outcome, type Probe, verdictOf } from './probe.ts';
import { familyName, missingFor } from './probes.ts';
import type { Stage } from './stage.ts';
import { TESTS, type TestName } from './tests.ts';

export interface PathReport {
  readonly path: string;
  /** TCP, UDP, Connect, Http or Name. */
  readonly kind: string;
  /** IPv4 or IPv6; empty for what has none. */
  readonly family: string;
  readonly passed: boolean;
  /** What was wrong; empty where it passed. */
  readonly why: string;
  readonly tries: number;
  readonly place?: Place;
  readonly trace?: readonly Leg[];
}

export interface TestReport {
  readonly name: TestName;
  readonly description: string;
  readonly result: 'Passed' | 'Failed' | 'Skipped';
  /** Why it was left out. */
  readonly skipped?: string;
  readonly paths: readonly PathReport[];
}

export interface ConnectivityReport {
  readonly passed: boolean;
  readonly nodes: readonly string[];
  readonly families: readonly string[];
  readonly tests: readonly TestReport[];
}

export interface Tried {
  readonly probe: Probe;
  readonly outcome: Outcome | undefined;
  /** Why the client said nothing. */
  readonly problem?: string;
  readonly place?: Place;
  readonly trace?: readonly Leg[];
}

export function testReports(
  stage: Pick<Stage, 'nodes' | 'hasDns' | 'external'>,
  tried: readonly Tried[],
  isWanted: (test: TestName) => boolean,
): TestReport[] {
  return TESTS.filter(({ name }) => isWanted(name)).map((test): TestReport => {
    const { name, description } = test;
    const paths = tried.filter(({ probe }) => probe.test === name).map(pathReport);
    if (paths.length > 0) {
      const result = paths.every(({ passed }) => passed) ? 'Passed' : 'Failed';
      return { name, description, result, paths };
    }
    const skipped = missingFor(test, stage) ?? 'the cluster has no address that it could try';
    return { name, description, result: 'Skipped', skipped, paths };
  });
}

function pathReport({ probe, outcome, problem, place, trace }: Tried): PathReport {
  const { passed, why } = verdictOf(probe.expect, outcome);
  return {
    path: probe.path,
    kind: probe.kind,
    family: familyName(probe.family),
    passed,
    why: problem ?? why,
    tries: outcome?.tries ?? 0,
    ...(place === undefined ? {} : { place }),
    ...(trace === undefined ? {} : { trace }),
  };
}
