// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

const SETUP = join(import.meta.dirname, 'setup.sh');

interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function setup(args: readonly string[], path = process.env.PATH): Promise<Outcome> {
  return await new Promise<Outcome>((resolve) => {
    execFile('/bin/bash', [SETUP, ...args], { env: { PATH: path } }, (failure, stdout, stderr) => {
      resolve({ status: failure === null ? 0 : Number(failure.code), stdout, stderr });
    });
  });
}

describe('the arguments', () => {
  test('--help says what it does and changes nothing', async () => {
    const { status, stdout, stderr } = await setup(['--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('Usage: npm run setup');
  });

  test('an unknown one is refused by name', async () => {
    const { status, stderr } = await setup(['--frobnicate']);
    expect(status).toBe(2);
    expect(stderr).toContain('unknown option --frobnicate');
  });
});

/** Machines that are not ready, made of a PATH that holds a few real commands and some that lie. */
describe('a machine that lacks something', () => {
  let bin: string;
  beforeEach(async () => {
    bin = await mkdtemp(join(tmpdir(), 'cubeplane-setup-'));
    for (const name of ['awk', 'dirname', 'flock', 'id', 'rm', 'uname'])
      await symlink(`/usr/bin/${name}`, join(bin, name));
  });
  afterEach(async () => {
    await rm(bin, { recursive: true });
  });
  const fake = async (name: string, script: string) => {
    await rm(join(bin, name), { force: true });
    await writeFile(join(bin, name), `#!/bin/bash\n${script}\n`);
    await chmod(join(bin, name), 0o755);
  };

  test('elsewhere than Debian: every missing command is named, with the packages that Debian has them in', async () => {
    const { status, stderr } = await setup([], bin);
    expect(status).toBe(1);
    expect(stderr).toContain('error: this is not Debian');
    for (const line of ['the command clang-16', 'the command bpftool', 'the command ip'])
      expect(stderr).toContain(line);
    expect(stderr).toMatch(/Debian 12 has all of it in: .*libbpf-dev/);
  });

  test('Debian without root: the command to run is named, with the missing packages only', async () => {
    await fake('apt-get', 'echo must not be called >&2; exit 1');
    await fake('id', 'echo 1000');
    await fake('dpkg-query', 'for name in "$@"; do [ "$name" = jq ] || echo "installed $name"; done');
    const { status, stderr } = await setup([], bin);
    expect(status).toBe(1);
    expect(stderr).toContain('sudo apt-get install --no-install-recommends jq\n');
    expect(stderr).not.toContain('must not be called');
  });

  test('Debian without a network: the failure of apt-get is shown, and what to do', async () => {
    await fake('apt-get', 'echo "Temporary failure resolving deb.debian.org"; exit 100');
    await fake('id', 'echo 0');
    await fake('dpkg-query', 'echo "installed none"');
    for (const name of ['cut', 'find', 'mktemp', 'sleep', 'tail', 'tr'])
      await symlink(`/usr/bin/${name}`, join(bin, name));
    const { status, stderr } = await setup([], bin);
    expect(status).toBe(1);
    expect(stderr).toContain('Temporary failure resolving deb.debian.org');
    expect(stderr).toMatch(/error: .*check the network/);
  });
});
