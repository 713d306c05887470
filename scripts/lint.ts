// SPDX-License-Identifier: Apache-2.0
import { endOnSignals } from './check/command.ts';
import { lint } from './lint/lint.ts';

endOnSignals();
const checks = await lint();
const failed = checks.filter((check) => !check.ok).length;
process.stdout.write(`${checks.length - failed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
