// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { isInPod, SERVICE_ACCOUNT } from './service-account.ts';

/** What TLS needs; PEM. Absent members mean Node's defaults. */
export interface TlsMaterial {
  ca?: Buffer;
  cert?: Buffer;
  key?: Buffer;
  servername?: string;
  rejectUnauthorized?: boolean;
}

/** How to reach one API server as one user. */
export interface Connection {
  /** `https://host:port`, maybe with a path. */
  server: string;
  /** Namespace of the kubeconfig's context, or of the pod; 'default' where none is named. */
  namespace: string;
  /** Proxy URL of the kubeconfig's cluster. */
  proxyUrl?: string;
  /** Unix socket to connect to instead, as `kubectl proxy --unix-socket` makes one. */
  socketPath?: string;
  /** Read again for each new dispatcher, so that rotated certificates are picked up. */
  tls(): Promise<TlsMaterial>;
  /** Read again for each request; implementations cache for at most 60 s. */
  headers(): Promise<Record<string, string>>;
}

export interface KubeconfigOptions {
  /** Path of a kubeconfig; several separated by `:` as in KUBECONFIG. Default: KUBECONFIG, the pod's service account, ~/.kube/config. */
  kubeconfig?: string | undefined;
  context?: string | undefined;
  env?: Readonly<Record<string, string | undefined>>;
}

/** A kubeconfig that cannot be used; the message names file, field and remedy. */
export class KubeconfigError extends Error {
  readonly code = 'KubeconfigError';
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'KubeconfigError';
  }
}

interface NamedCluster {
  name: string;
  cluster: {
    server?: string;
    'certificate-authority'?: string;
    'certificate-authority-data'?: string;
    'insecure-skip-tls-verify'?: boolean;
    'tls-server-name'?: string;
    'proxy-url'?: string;
  };
}
interface NamedUser {
  name: string;
  user: {
    'client-certificate'?: string;
    'client-certificate-data'?: string;
    'client-key'?: string;
    'client-key-data'?: string;
    token?: string;
    tokenFile?: string;
    username?: string;
    password?: string;
    as?: string;
    exec?: unknown;
    'auth-provider'?: unknown;
  };
}
interface Kubeconfig {
  'current-context'?: string;
  clusters?: NamedCluster[] | null;
  users?: NamedUser[] | null;
  contexts?: { name: string; context: { cluster?: string; user?: string; namespace?: string } }[] | null;
}

const TOKEN_LIFE_MS = 60_000;

/**
 * Finds the API server and the credentials, as kubectl does: an explicit path, KUBECONFIG, the service account of
 * the pod, ~/.kube/config. Certificates, tokens, token files and passwords are read here; client-node is loaded
 * only for exec and auth-provider plugins, because it costs 60 MB and half a second that no agent needs.
 */
export async function loadConnection(options: KubeconfigOptions = {}): Promise<Connection> {
  const env = options.env ?? process.env;
  const files = configFiles(options.kubeconfig, env);
  if (files === undefined) return inCluster(env);
  const merged = mergeFiles(files);
  const contextName = options.context ?? merged['current-context'];
  const context = merged.contexts?.find((entry) => entry.name === contextName)?.context;
  if (context === undefined) {
    const known = (merged.contexts ?? []).map((entry) => entry.name).join(', ');
    throw new KubeconfigError(
      `${files.join(':')}: there is no context "${contextName ?? ''}"; choose one of: ${known || '(none)'}`,
    );
  }
  const cluster = merged.clusters?.find((entry) => entry.name === context.cluster)?.cluster;
  if (cluster?.server === undefined) {
    throw new KubeconfigError(
      `${files.join(':')}: context "${contextName ?? ''}" names cluster "${context.cluster ?? ''}", which has no server; add clusters[].cluster.server`,
    );
  }
  const user = merged.users?.find((entry) => entry.name === context.user)?.user ?? {};
  if (user.exec !== undefined || user['auth-provider'] !== undefined) {
    return withPlugin(files, contextName, context.namespace, cluster);
  }
  return {
    server: cluster.server.replace(/\/+$/, ''),
    namespace: context.namespace ?? 'default',
    ...(cluster['proxy-url'] === undefined ? {} : { proxyUrl: cluster['proxy-url'] }),
    tls: async () => tlsOf(cluster, user),
    headers: staticHeaders(user),
  };
}

function configFiles(
  explicit: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): string[] | undefined {
  const named = explicit ?? env.KUBECONFIG;
  if (named !== undefined && named !== '') return named.split(delimiter).filter((path) => path !== '');
  if (isInPod(env)) return undefined;
  const home = join(env.HOME ?? homedir(), '.kube', 'config');
  if (existsSync(home)) return [home];
  throw new KubeconfigError(
    `no kubeconfig: give --kubeconfig, set KUBECONFIG, or write ${home}; for a directory of manifests give --manifests`,
  );
}

function mergeFiles(files: readonly string[]): Kubeconfig {
  const merged: Required<Pick<Kubeconfig, 'clusters' | 'users' | 'contexts'>> & Kubeconfig = {
    clusters: [],
    users: [],
    contexts: [],
  };
  for (const file of files) {
    let parsed: Kubeconfig;
    try {
      parsed = (parse(readFileSync(file, 'utf8')) ?? {}) as Kubeconfig;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new KubeconfigError(
        `${file}: cannot be read as a kubeconfig: ${why}; check the path and its YAML`,
        {
          cause,
        },
      );
    }
    absolutePaths(parsed, dirname(resolve(file)));
    // The first file that names something wins, as in kubectl.
    const current = parsed['current-context'];
    if (merged['current-context'] === undefined && current !== undefined) merged['current-context'] = current;
    merged.clusters?.push(...(parsed.clusters ?? []));
    merged.users?.push(...(parsed.users ?? []));
    merged.contexts?.push(...(parsed.contexts ?? []));
  }
  return merged;
}

function absolutePaths(config: Kubeconfig, base: string): void {
  const fix = <K extends string>(holder: { [field in K]?: string }, field: K): void => {
    const value = holder[field];
    if (value !== undefined && value !== '') Object.assign(holder, { [field]: resolve(base, value) });
  };
  for (const { cluster } of config.clusters ?? []) fix(cluster, 'certificate-authority');
  for (const { user } of config.users ?? []) {
    fix(user, 'client-certificate');
    fix(user, 'client-key');
    fix(user, 'tokenFile');
  }
}

function pem(file: string | undefined, data: string | undefined): Buffer | undefined {
  if (data !== undefined && data !== '') return Buffer.from(data, 'base64');
  if (file === undefined || file === '') return undefined;
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new KubeconfigError(`${file}: cannot be read; the kubeconfig names it`, { cause });
  }
}

function tlsOf(cluster: NamedCluster['cluster'], user: NamedUser['user']): TlsMaterial {
  const ca = pem(cluster['certificate-authority'], cluster['certificate-authority-data']);
  const cert = pem(user['client-certificate'], user['client-certificate-data']);
  const key = pem(user['client-key'], user['client-key-data']);
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(cluster['tls-server-name'] === undefined ? {} : { servername: cluster['tls-server-name'] }),
    ...(cluster['insecure-skip-tls-verify'] === true ? { rejectUnauthorized: false } : {}),
  };
}

function staticHeaders(user: NamedUser['user']): () => Promise<Record<string, string>> {
  const impersonate: Record<string, string> = user.as === undefined ? {} : { 'impersonate-user': user.as };
  if (user.tokenFile !== undefined) {
    const token = tokenReader(user.tokenFile);
    return async () => ({ ...impersonate, authorization: `Bearer ${token()}` });
  }
  if (user.token !== undefined) {
    const headers = { ...impersonate, authorization: `Bearer ${user.token}` };
    return async () => headers;
  }
  if (user.username !== undefined) {
    const basic = Buffer.from(`${user.username}:${user.password ?? ''}`).toString('base64');
    return async () => ({ ...impersonate, authorization: `Basic ${basic}` });
  }
  return async () => impersonate;
}

/** Projected tokens are rewritten by the kubelet well before they end; a minute is client-go's period too. */
function tokenReader(file: string): () => string {
  let token = '';
  let readAt = Number.NEGATIVE_INFINITY;
  return () => {
    if (performance.now() - readAt < TOKEN_LIFE_MS) return token;
    try {
      token = readFileSync(file, 'utf8').trim();
      readAt = performance.now();
    } catch (cause) {
      if (token === '') throw new KubeconfigError(`${file}: the token cannot be read`, { cause });
    }
    return token;
  };
}

function inCluster(env: Readonly<Record<string, string | undefined>>): Connection {
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (!/^[^\s/]+$/.test(host) || !/^[1-9]\d*$/.test(port)) {
    throw new KubeconfigError(
      `the pod’s environment does not say where the API server is (KUBERNETES_SERVICE_HOST is ${JSON.stringify(host)}, KUBERNETES_SERVICE_PORT ${JSON.stringify(port)}); ` +
        'write its address into config/default/api-server.env, which becomes the ConfigMap cubeplane-api-server, and apply config/default again',
    );
  }
  const token = tokenReader(`${SERVICE_ACCOUNT}/token`);
  const namespaceFile = `${SERVICE_ACCOUNT}/namespace`;
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    namespace: existsSync(namespaceFile) ? readFileSync(namespaceFile, 'utf8').trim() : 'default',
    tls: async () => ({ ca: readFileSync(`${SERVICE_ACCOUNT}/ca.crt`) }),
    headers: async () => ({ authorization: `Bearer ${token()}` }),
  };
}

async function withPlugin(
  files: readonly string[],
  context: string | undefined,
  namespace: string | undefined,
  cluster: NamedCluster['cluster'],
): Promise<Connection> {
  const { KubeConfig } = await import('@kubernetes/client-node').catch((cause: unknown) => {
    throw new KubeconfigError(
      `${files.join(':')}: the user asks for a plugin (exec or auth-provider), which the container image cannot run; give a kubeconfig with a token or a certificate`,
      { cause },
    );
  });
  const config = new KubeConfig();
  config.loadFromFile(files[0] ?? '');
  for (const file of files.slice(1)) {
    const more = new KubeConfig();
    more.loadFromFile(file);
    config.mergeConfig(more, true);
  }
  if (context !== undefined) config.setCurrentContext(context);
  type Options = Parameters<typeof config.applyToHTTPSOptions>[0];
  const ask = async (): Promise<TlsMaterial & { headers?: Record<string, string> }> => {
    const options: Options = {};
    await config.applyToHTTPSOptions(options);
    return options as TlsMaterial & { headers?: Record<string, string> };
  };
  return {
    server: (cluster.server ?? '').replace(/\/+$/, ''),
    namespace: namespace ?? 'default',
    ...(cluster['proxy-url'] === undefined ? {} : { proxyUrl: cluster['proxy-url'] }),
    tls: async () => {
      const { ca, cert, key, servername, rejectUnauthorized } = await ask();
      return {
        ...(ca ? { ca } : {}),
        ...(cert ? { cert } : {}),
        ...(key ? { key } : {}),
        ...(servername ? { servername } : {}),
        ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
      };
    },
    headers: async () => (await ask()).headers ?? {},
  };
}
