// SPDX-License-Identifier: Apache-2.0
import type { Config } from 'jest';

/** One project a part, so that `npm test -- --only PART` can choose; what each may touch is in README.md. */
const base = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2024' }, module: { type: 'es6' } },
    ] as [string, Record<string, unknown>],
  },
  modulePathIgnorePatterns: ['<rootDir>/build/'],
};

const config: Config = {
  // Milliseconds. A bound for what hangs, not a measure of speed: CI machines may be slow.
  testTimeout: 120_000,
  projects: [
    {
      ...base,
      displayName: 'unit',
      testMatch: ['<rootDir>/{src,scripts,test/harness,test/bench}/**/*.test.ts'],
    },
    { ...base, displayName: 'kernel', testMatch: ['<rootDir>/test/kernel/**/*.test.ts'] },
    { ...base, displayName: 'netns', testMatch: ['<rootDir>/test/netns/**/*.test.ts'] },
    { ...base, displayName: 'e2e', testMatch: ['<rootDir>/test/e2e/**/*.test.ts'] },
  ],
};

export default config;
