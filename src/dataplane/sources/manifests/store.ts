// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Stamp } from '../../../operators/service-chain.ts';
import type { LedgerData } from './ledger.ts';
import { manifestStateDirectory, readJson, writeAtomically } from './state-files.ts';

/** What the manifest source of one node keeps over restarts. */
export class ManifestStore {
  readonly #directory: string;
  #saved = { ledger: '', stamps: '' };

  constructor(stateRoot: string, node: string) {
    this.#directory = manifestStateDirectory(stateRoot, node);
  }

  async loadLedger(): Promise<LedgerData> {
    return (await readJson<LedgerData>(join(this.#directory, 'generations.json'))) ?? {};
  }

  async saveLedger(data: LedgerData): Promise<void> {
    await this.#save('ledger', 'generations.json', JSON.stringify(data));
  }

  async loadStamps(): Promise<Map<string, Stamp>> {
    const stamps = await readJson<Record<string, Stamp>>(join(this.#directory, 'stamps.json'));
    return new Map(Object.entries(stamps ?? {}));
  }

  async saveStamps(stamps: ReadonlyMap<string, Stamp>): Promise<void> {
    await this.#save('stamps', 'stamps.json', JSON.stringify(Object.fromEntries(stamps)));
  }

  /** Last good texts by file name. */
  async loadGoodFiles(): Promise<Map<string, string>> {
    const folder = join(this.#directory, 'good');
    const names = await readdir(folder).catch(() => [] as string[]);
    const texts = new Map<string, string>();
    for (const name of names) {
      const good = name.endsWith('.json')
        ? await readJson<{ file: string; text: string }>(join(folder, name))
        : undefined;
      if (good !== undefined) texts.set(good.file, good.text);
    }
    return texts;
  }

  async saveGoodFile(file: string, text: string): Promise<void> {
    await writeAtomically(this.#goodPath(file), JSON.stringify({ file, text }));
  }

  async removeGoodFile(file: string): Promise<void> {
    await rm(this.#goodPath(file), { force: true });
  }

  #goodPath(file: string): string {
    return join(
      this.#directory,
      'good',
      `${createHash('sha256').update(file).digest('hex').slice(0, 32)}.json`,
    );
  }

  async #save(what: 'ledger' | 'stamps', name: string, text: string): Promise<void> {
    if (this.#saved[what] === text) return;
    await writeAtomically(join(this.#directory, name), text);
    this.#saved[what] = text;
  }
}
