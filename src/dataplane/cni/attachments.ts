// SPDX-License-Identifier: Apache-2.0
/**
 * The attachments of a node on disk, one file each; they are the leases of addresses at the same time. While one is made its file has
 * another name, and what it will say: when it is there a rename is all that is to be written.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readRecord, writeRecord } from '../files.ts';
import { type Attachment, fileOf, isAttachment, keyOf } from './attachment.ts';
import { FORGET_MS } from './ranges.ts';

/** Released addresses that are remembered. */
const MOST_RELEASED = 4096;
/** What a name ends with, in place of .json, while the interface is made. */
const MAKING = '.making';
/** Released addresses are written down together, so long after the first; what an agent forgets that is killed before is little. */
const SAVE_MS = 250;

export class Attachments {
  readonly #folder: string;
  readonly #releasedPath: string;
  readonly #all = new Map<string, Attachment>();
  readonly #released = new Map<string, number>();
  #saving: NodeJS.Timeout | undefined;
  /** Family → the address given last. */
  readonly #last = new Map<boolean, string>();

  /** @param stateDir the node's own folder of state. */
  constructor(stateDir: string) {
    this.#folder = join(stateDir, 'cni', 'attachments');
    this.#releasedPath = join(stateDir, 'cni', 'released.json');
  }

  /** Reads what is there. Unreadable files are left out and told about; they stay for a person to look at. */
  load(onProblem: (message: string) => void): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const read = (path: string, take: (value: unknown) => void) => {
      try {
        const value = readRecord(path);
        if (value !== undefined) take(value);
      } catch (error) {
        onProblem(error instanceof Error ? error.message : String(error));
      }
    };
    const names = readdirSync(this.#folder);
    // What an agent was writing when it was killed.
    for (const name of names.filter((one) => one.endsWith('.tmp')))
      rmSync(join(this.#folder, name), { force: true });
    const take = (name: string, phase?: Attachment['phase']) =>
      read(join(this.#folder, name), (value) => {
        if (!isAttachment(value))
          throw new Error(`${join(this.#folder, name)} holds no interface; remove the file`);
        this.#all.set(keyOf(value), phase === undefined ? value : { ...value, phase });
      });
    for (const name of names.filter((one) => one.endsWith(MAKING))) take(name, 'Making');
    // Of one that is being removed both are there, and this one says so.
    for (const name of names.filter((one) => one.endsWith('.json'))) take(name);
    read(this.#releasedPath, (value) => {
      for (const [address, at] of Object.entries(value as Record<string, number>))
        this.#released.set(address, at);
    });
    const byAge = [...this.#all.values()].sort((a, b) => a.createdAt - b.createdAt);
    for (const attachment of byAge) this.#remember(attachment);
  }

  get(key: string): Attachment | undefined {
    return this.#all.get(key);
  }

  values(): Attachment[] {
    return [...this.#all.values()];
  }

  addresses(): string[] {
    return this.values().flatMap(({ addresses }) => addresses);
  }

  /** Address → when it was released, without those that have rested for long. */
  released(now: number): ReadonlyMap<string, number> {
    for (const [address, at] of this.#released) {
      if (now - at > FORGET_MS || this.#released.size > MOST_RELEASED) this.#released.delete(address);
    }
    return this.#released;
  }

  lastAddress(isIPv6: boolean): string | undefined {
    return this.#last.get(isIPv6);
  }

  /** Throws where the disk refuses; nothing has changed then. */
  put(attachment: Attachment): void {
    const key = keyOf(attachment);
    const [path, making] = [this.#path(key), this.#path(key, MAKING)];
    if (attachment.phase === 'Making') writeRecord(making, { ...attachment, phase: 'Ready' });
    else if (attachment.phase === 'Ready' && existsSync(making)) renameSync(making, path);
    else writeRecord(path, attachment);
    this.#all.set(key, attachment);
    this.#remember(attachment);
  }

  /** Gives its addresses back. */
  remove(key: string, now: number): void {
    for (const suffix of ['.json', MAKING]) rmSync(this.#path(key, suffix), { force: true });
    const addresses = this.#all.get(key)?.addresses ?? [];
    this.#all.delete(key);
    for (const address of addresses) {
      this.#released.delete(address);
      this.#released.set(address, now);
    }
    this.released(now); // forgets what is too old to be kept
    if (addresses.length > 0) this.#saving ??= setTimeout(() => this.flush(), SAVE_MS).unref();
  }

  /** Writes down what was released since the last time. */
  flush(): void {
    clearTimeout(this.#saving);
    if (this.#saving === undefined) return;
    this.#saving = undefined;
    try {
      writeRecord(this.#releasedPath, Object.fromEntries(this.#released));
    } catch {
      // A full disk keeps no pod from going: this agent knows, only its successor does not.
    }
  }

  #path(key: string, suffix = '.json'): string {
    return join(this.#folder, fileOf(key).replace(/\.json$/, suffix));
  }

  #remember({ addresses }: Attachment): void {
    for (const address of addresses) this.#last.set(address.includes(':'), address);
  }
}
