// SPDX-License-Identifier: Apache-2.0
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FIELD_MANAGERS } from '../api/group.ts';
import { Applier } from '../k8s/apply.ts';
import { isKubeError } from '../k8s/errors.ts';
import { SERVICE_CHAINS } from '../k8s/resource.ts';
import type { HandlerResult } from '../k8s/work-queue.ts';
import type { ControllerContext } from './context.ts';
import { Controller } from './controller.ts';
import { type Provider, readProvider } from './provider.ts';

/** How often the folder is looked at: kubelets renew it about once a minute, by links, of which no watch tells all. */
const LOOK_MS = 5_000;

/**
 * Files of a folder → the ServiceChains in them, by server-side apply without force: what somebody else has written into a chain
 * stays, and an event says so. They are applied when a term begins, when a file changes, and when one is deleted. A chain that the files
 * no longer have is left alone. Work is keyed by the name of the chain.
 */
export class ProviderController extends Controller {
  readonly #folder: string;
  readonly #applier: Applier;
  #provider: Provider = { chains: new Map(), problems: [] };
  #texts = '';
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(context: ControllerContext, folder: string) {
    super(context, { name: 'provider', concurrency: 1 });
    this.#folder = folder;
    this.#applier = new Applier({
      client: context.client,
      fieldManager: FIELD_MANAGERS.provider,
      force: false,
    });
  }

  start(): void {
    const { world, namespace } = this.context;
    this.subscribe(
      world.chains.onChange(({ type, key }) => {
        const [at, name = ''] = key.split('/');
        if (type === 'deleted' && at === namespace && this.#provider.chains.has(name)) this.queue.add(name);
      }),
    );
    this.queue.start();
    void this.#look();
  }

  override async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await super.stop();
  }

  async #look(): Promise<void> {
    const { log, namespace } = this.context;
    const files = await readFolder(this.#folder);
    const texts = JSON.stringify([...files]);
    if (texts !== this.#texts) {
      this.#texts = texts;
      this.#provider = readProvider(files, namespace);
      for (const problem of this.#provider.problems) log.error({ folder: this.#folder }, problem);
      for (const name of this.#provider.chains.keys()) this.queue.add(name);
    }
    if (!this.#isStopped) this.#timer = setTimeout(() => void this.#look(), LOOK_MS).unref();
  }

  protected async reconcile(name: string): Promise<HandlerResult> {
    const { events, log, namespace, world } = this.context;
    const chain = this.#provider.chains.get(name);
    if (chain === undefined) return undefined;
    try {
      await this.#applier.apply(SERVICE_CHAINS, chain, undefined);
      log.info({ chain: `${namespace}/${name}` }, `ServiceChain ${namespace}/${name} is as the files say`);
    } catch (error) {
      if (!isKubeError(error, 'Conflict')) throw error;
      const note = `somebody else has set what the operator's files set otherwise, and it stays: ${error.message}`;
      log.warn({ chain: `${namespace}/${name}` }, note);
      const metadata = world.chains.get(`${namespace}/${name}`)?.metadata ?? { namespace, name };
      const target = { type: SERVICE_CHAINS, metadata };
      events.record(target, { type: 'Warning', reason: 'ProviderConflict', action: 'Apply', note });
    }
    return undefined;
  }
}

/** Texts of YAML files by name; none where there is no such folder. */
async function readFolder(folder: string): Promise<Map<string, string>> {
  const names = await readdir(folder).catch(() => []);
  const files = new Map<string, string>();
  for (const name of names.filter((one) => /\.ya?ml$/.test(one)).sort()) {
    const text = await readFile(join(folder, name), 'utf8').catch(() => undefined);
    if (text !== undefined) files.set(name, text);
  }
  return files;
}
