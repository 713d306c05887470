// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';

test.each(['5', '3601', '20s', ''])(
  'an agent timeout of "%s" is refused, and the message says what is right',
  (text) => {
    const argv = [join(import.meta.dirname, 'main.ts'), '--agent-timeout', text];
    const { status, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
    expect(stderr).toContain('give a whole number from 15 to 3600');
    expect(status).toBe(1);
  },
);
