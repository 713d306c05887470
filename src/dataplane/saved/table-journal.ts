// SPDX-License-Identifier: Apache-2.0
/**
 * The tables in force on disk, for a node that starts anew without its API server. Written behind the rounds: a change is
 * on disk about a second after it is in the kernel. Changes are appended; when they have grown past what there is, all of
 * it is written anew beside the old file, which it then replaces.
 */
import { readFileSync, statSync } from 'node:fs';
import { type FileHandle, open, rename, utimes } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { AgentLog } from '../agent-options.ts';
import { textOf } from '../errors.ts';
import type { PackedTable, TableChange } from '../tables.ts';
import { END, goneLine, HEADER, readLines, type SavedState, tableLine } from './journal-lines.ts';

/** Changes of so long are one write. */
const DELAY_MS = 1000;
const RETRY_MS = 30_000;
/** How exactly the file's time says until when it was right. */
const TOUCH_MS = 30_000;
/** Lines between two looks at the rest of the agent's work. */
const CHUNK = 128;
/** More changes at once would hold up the agent: all is written anew, in pieces. */
const MOST_APPENDED = 1024;
/** Less than so many bytes of changes are never worth writing all anew. */
const LEAST_APPENDED = 1 << 20;

export interface JournalOptions {
  readonly path: string;
  readonly log: AgentLog;
  /** All that belongs into it now; undefined while that is not known, or somebody has to say first that it is meant. */
  readonly content: () => readonly PackedTable[] | undefined;
  /** Whether the source is heard from, so that what is written down is what there is. */
  readonly isCurrent: () => boolean;
  readonly delayMs?: number;
  readonly leastAppended?: number;
}

export interface Loaded extends SavedState {
  /** When it was last known to be right. */
  readonly asOf: Date;
}

export class TableJournal {
  readonly #options: JournalOptions;
  readonly #pending = new Map<string, PackedTable | undefined>();
  /** For appending; undefined: the file is of another life, and is written anew as a whole. */
  #file: FileHandle | undefined;
  /** Bytes of the last whole one, and behind it. */
  #size = { whole: 0, appended: 0 };
  #timer: NodeJS.Timeout | undefined;
  #touching: NodeJS.Timeout | undefined;
  #working: Promise<void> = Promise.resolve();
  #isFailing = false;
  #isClosed = false;

  constructor(options: JournalOptions) {
    this.#options = options;
  }

  /** What an agent before this one wrote; undefined: nothing that can be used. Never throws. */
  load(): Loaded | undefined {
    const { path, log } = this.#options;
    try {
      const asOf = statSync(path, { throwIfNoEntry: false })?.mtime;
      if (asOf === undefined) return undefined;
      const saved = readLines(readFileSync(path, 'utf8'));
      if (saved === undefined) log.warn({ path }, 'the saved tables cannot be read');
      return saved && { ...saved, asOf };
    } catch (error) {
      log.warn({ path, error: textOf(error) }, 'the saved tables cannot be read');
      return undefined;
    }
  }

  /** Cheap: the work is done later. Tables of the agent's own stay out. */
  note(changes: readonly TableChange[]): void {
    for (const { key, before, after } of changes)
      if ((after ?? before)?.isOwn !== true) this.#pending.set(key, after);
    if (this.#file === undefined || this.#pending.size > 0) this.#schedule();
  }

  /** Writes what is left to write. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#touching);
    await this.#working;
    if (this.#timer !== undefined) await this.#write();
    await this.#file?.close();
    this.#file = undefined;
  }

  #schedule(ms = this.#options.delayMs ?? DELAY_MS): void {
    if (this.#isClosed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#working = this.#working.then(() => this.#write());
    }, ms).unref();
  }

  async #write(): Promise<void> {
    try {
      const { whole, appended } = this.#size;
      const isLong = appended > Math.max(whole, this.#options.leastAppended ?? LEAST_APPENDED);
      const isDue = isLong || this.#pending.size > MOST_APPENDED;
      const content = this.#file === undefined || isDue ? this.#options.content() : undefined;
      if (content !== undefined) await this.#writeAll(content);
      else if (this.#file !== undefined) await this.#append(this.#file);
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing)
        this.#options.log.warn({ error: textOf(error) }, 'the tables could not be saved; trying again');
      this.#isFailing = true;
      await this.#file?.close().catch(() => {});
      this.#file = undefined;
      this.#schedule(RETRY_MS);
    }
  }

  async #append(file: FileHandle): Promise<void> {
    const changes = [...this.#pending];
    if (changes.length === 0) return;
    const lines = changes.flatMap(([, table]) => (table === undefined ? [] : tableLine(table)));
    const gone = changes.flatMap(([key, table]) => (table === undefined ? goneLine(key) : []));
    this.#pending.clear();
    const bytes = Buffer.from([...lines, ...gone, END].join(''));
    await file.appendFile(bytes);
    await file.datasync();
    this.#size.appended += bytes.length;
  }

  async #writeAll(all: readonly PackedTable[]): Promise<void> {
    const { path } = this.#options;
    this.#pending.clear();
    const beside = `${path}.tmp`;
    const file = await open(beside, 'w', 0o600);
    let whole = 0;
    try {
      for (let at = 0; at === 0 || at < all.length; at += CHUNK) {
        const lines = all.slice(at, at + CHUNK).map(tableLine);
        const bytes = Buffer.from([at === 0 ? HEADER : '', ...lines].join(''));
        await file.appendFile(bytes);
        whole += bytes.length;
      }
      await file.appendFile(END);
      await file.datasync();
      await rename(beside, path);
      await syncFolder(dirname(path));
    } catch (error) {
      await file.close();
      throw error;
    }
    await this.#file?.close();
    this.#file = file;
    this.#size = { whole, appended: 0 };
    this.#touching ??= setInterval(() => void this.#touch(), TOUCH_MS).unref();
  }

  async #touch(): Promise<void> {
    const { path, content, isCurrent } = this.#options;
    if (this.#isClosed || !isCurrent() || content() === undefined) return;
    const now = new Date();
    await utimes(path, now, now).catch(() => {});
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
