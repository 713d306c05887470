// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';

function cluster(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const argv = [join(import.meta.dirname, 'main.ts'), ...args];
  return spawnSync(process.execPath, argv, { encoding: 'utf8' });
}

test.each([[['--help']], [['--light', '-h']], [[]]])('%j shows what there is', (args) => {
  const { status, stdout } = cluster(...args);
  expect(status).toBe(0);
  expect(stdout).toContain('npm run --silent cluster -- [--light] COMMAND');
});

test.each([
  [['--light', 'upp'], 'unknown command upp: up, down, status, kubeconfig, kubectl, reboot, exec'],
  [['--light', 'node', 'node-1'], 'exec NODE PROGRAM ARG ...'],
  [['reboot'], 'reboot NODE'],
  [['reboot', 'node-1', 'node-2'], 'reboot NODE'],
  [['--light', 'reboot', 'node-1'], 'reboot: nodes of the light cluster are no machines'],
  [['exec', 'node-1'], 'exec NODE PROGRAM ARG ...'],
  [['up', '--nodes', '11'], '--nodes 11: a number from 1 to 10'],
  [['up', '--provider', 'magic'], '--provider magic: '],
  [['up', '--light', '--provider', 'none'], '--provider: the light cluster has one network'],
  [['up', '--proxy-mode', 'nftables'], '--proxy-mode: kube-proxy runs with --provider bridge alone'],
  [['up', '--provider', 'bridge', '--proxy-mode', 'ipvs'], '--proxy-mode ipvs: iptables, nftables'],
  [['--light', 'up', '--nodes', '0'], '--nodes 0: a number from 1 to 20'],
  [['--light', 'up', '--nodes', 'two'], '--nodes two: a number from 1 to 20'],
  [['--light', 'up', '--name', 'A/b'], '--name A/b: lower-case letters, digits and dashes, at most 31'],
  [['--light', 'down', 'all'], 'all: "down" takes no argument'],
  [['--light', 'up', '--heavy'], "Unknown option '--heavy'"],
])('%j is refused, and the message says what is right', (args, message) => {
  const { status, stderr } = cluster(...args);
  expect(status).toBe(2);
  expect(stderr).toContain(`cluster: ${message}`);
  expect(stderr).toContain('--help');
});
