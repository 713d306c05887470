// SPDX-License-Identifier: Apache-2.0
import { generateKeyPair, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Credentials {
  /** Key pair that signs and checks service-account tokens. */
  readonly privateKeyPath: string;
  readonly publicKeyPath: string;
  /** For `--token-auth-file`. */
  readonly tokensPath: string;
  /** The administrator's. */
  readonly adminToken: string;
  /** Of the other users, by name. */
  readonly tokens: ReadonlyMap<string, string>;
}

/** Makes what the API server needs to know who is calling: the administrator and `users`, names with a group (or ''). */
export async function createCredentials(
  directory: string,
  users: Readonly<Record<string, string>> = {},
): Promise<Credentials> {
  const { privateKey, publicKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  const privateKeyPath = join(directory, 'service-accounts.key');
  const publicKeyPath = join(directory, 'service-accounts.pub');
  const tokensPath = join(directory, 'tokens.csv');
  const newToken = () => randomBytes(24).toString('base64url');
  const adminToken = newToken();
  const tokens = new Map(Object.keys(users).map((user) => [user, newToken()]));
  const lines = [...tokens].map(([user, token]) => `${token},${user},${user},${users[user]}\n`);
  await writeFile(privateKeyPath, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  await writeFile(publicKeyPath, publicKey.export({ type: 'spki', format: 'pem' }));
  await writeFile(tokensPath, [`${adminToken},admin,admin,system:masters\n`, ...lines].join(''), {
    mode: 0o600,
  });
  return { privateKeyPath, publicKeyPath, tokensPath, adminToken, tokens };
}

export interface KubeconfigOptions {
  readonly server: string;
  /** PEM file; its content is put into the kubeconfig. */
  readonly caPath: string;
  readonly user: string;
  readonly token: string;
  /** Default namespace of the context. */
  readonly namespace?: string;
}

/** Writes a kubeconfig that only its owner may read. JSON is YAML, so no library is needed to write it. */
export async function writeKubeconfig(path: string, options: KubeconfigOptions): Promise<void> {
  const ca = (await readFile(options.caPath)).toString('base64');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'cubeplane',
    clusters: [{ name: 'cubeplane', cluster: { server: options.server, 'certificate-authority-data': ca } }],
    users: [{ name: options.user, user: { token: options.token } }],
    contexts: [
      {
        name: 'cubeplane',
        context: { cluster: 'cubeplane', user: options.user, namespace: options.namespace ?? 'default' },
      },
    ],
  };
  await writeFile(path, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
}
