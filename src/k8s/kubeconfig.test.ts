// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { loadConnection } from './kubeconfig.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cubeplane-kubeconfig-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function write(name: string, config: object): string {
  const path = join(directory, name);
  writeFileSync(path, JSON.stringify({ apiVersion: 'v1', kind: 'Config', ...config }));
  return path;
}

const CLUSTER = { name: 'c', cluster: { server: 'https://k:6443/', 'certificate-authority': 'ca.pem' } };
const CONTEXT = { name: 'x', context: { cluster: 'c', user: 'u', namespace: 'ns' } };
const user = (fields: object) => [{ name: 'u', user: fields }];

describe('kubeconfig', () => {
  it('reads server, namespace, certificates beside the file, and a token', async () => {
    writeFileSync(join(directory, 'ca.pem'), 'CA');
    const kubeconfig = write('config', {
      'current-context': 'x',
      clusters: [CLUSTER],
      contexts: [CONTEXT],
      users: user({ token: 't0ken', 'client-certificate-data': Buffer.from('CERT').toString('base64') }),
    });
    const connection = await loadConnection({ kubeconfig, env: {} });
    expect(connection).toMatchObject({ server: 'https://k:6443', namespace: 'ns' });
    expect(await connection.headers()).toEqual({ authorization: 'Bearer t0ken' });
    expect(await connection.tls()).toEqual({ ca: Buffer.from('CA'), cert: Buffer.from('CERT') });
  });

  it('joins the files of KUBECONFIG: the first that names something wins', async () => {
    const first = write('one', {
      'current-context': 'x',
      contexts: [CONTEXT],
      users: user({ username: 'a', password: 'b' }),
    });
    const second = write('two', {
      'current-context': 'y',
      clusters: [CLUSTER],
      users: user({ token: 'no' }),
    });
    const connection = await loadConnection({ env: { KUBECONFIG: `${first}:${second}` } });
    expect(await connection.headers()).toEqual({
      authorization: `Basic ${Buffer.from('a:b').toString('base64')}`,
    });
  });

  it('leaves exec plugins to client-node, which runs them', async () => {
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: 'echo',
      args: [
        JSON.stringify({
          apiVersion: 'client.authentication.k8s.io/v1',
          kind: 'ExecCredential',
          status: { token: 'made' },
        }),
      ],
      interactiveMode: 'Never',
    };
    const cluster = { name: 'c', cluster: { server: 'https://k:6443', 'insecure-skip-tls-verify': true } };
    const kubeconfig = write('config', {
      'current-context': 'x',
      clusters: [cluster],
      contexts: [CONTEXT],
      users: user({ exec }),
    });
    const connection = await loadConnection({ kubeconfig, env: {} });
    expect(await connection.headers()).toMatchObject({ Authorization: 'Bearer made' });
    expect(await connection.tls()).toEqual({ rejectUnauthorized: false });
  });

  it('says what is missing: file, context, cluster, any configuration', async () => {
    await expect(loadConnection({ kubeconfig: join(directory, 'none'), env: {} })).rejects.toThrow(
      'none: cannot be read',
    );
    const kubeconfig = write('config', { 'current-context': 'x', contexts: [CONTEXT] });
    await expect(loadConnection({ kubeconfig, context: 'y', env: {} })).rejects.toThrow(
      'no context "y"; choose one of: x',
    );
    await expect(loadConnection({ kubeconfig, env: {} })).rejects.toThrow(
      'names cluster "c", which has no server',
    );
    await expect(loadConnection({ env: { HOME: directory } })).rejects.toThrow(
      'no kubeconfig: give --kubeconfig',
    );
  });
});
