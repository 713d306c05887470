// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../process.ts';
import type { Log } from '../progress.ts';

const SETUP = join(import.meta.dirname, '../../../scripts/setup.sh');

/** Programs of this machine that nodes and images are made of, with the Debian package that has them. */
const PACKAGE_OF: Readonly<Record<string, string>> = {
  containerd: 'containerd',
  ctr: 'containerd',
  runc: 'runc',
  '/usr/lib/cni/loopback': 'containernetworking-plugins',
  conntrack: 'conntrack',
  openssl: 'openssl',
  bash: 'bash',
  busybox: 'busybox-static',
  curl: 'curl',
  dig: 'bind9-dnsutils',
  'nc.openbsd': 'netcat-openbsd',
  iperf: 'iperf',
  wget: 'wget',
};

/**
 * Installs what is missing, as set-up does. They are not among set-up's usual packages: who never starts this cluster has no
 * use for a second container runtime beside Docker's.
 *
 * @throws CommandError with the line for apt, where it cannot.
 */
export async function ensureHostPrograms(log: Log): Promise<void> {
  const missing = await missingPackages();
  if (missing.length === 0) return;
  log(`installing Debian packages: ${missing.join(' ')}`);
  const flags = missing.flatMap((name) => ['--debian-package', name]);
  await run(['bash', SETUP, ...flags], { timeoutMs: 600_000 });
  const still = await missingPackages();
  if (still.length > 0)
    throw new Error(
      `still missing: install what Debian has in ${still.join(' ')}, with the programs on PATH`,
    );
}

async function missingPackages(): Promise<string[]> {
  const programs = Object.keys(PACKAGE_OF);
  const script = 'for name; do command -v "$name" || true; done';
  const { stdout } = await run([
    'sh',
    '-c',
    script,
    'sh',
    ...programs.filter((name) => !name.startsWith('/')),
  ]);
  const found = new Set(stdout.split('\n').map((path) => path.slice(path.lastIndexOf('/') + 1)));
  const missing = programs.filter((name) => (name.startsWith('/') ? !existsSync(name) : !found.has(name)));
  return [...new Set(missing.map((name) => PACKAGE_OF[name] ?? name))];
}
