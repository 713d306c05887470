// SPDX-License-Identifier: Apache-2.0

import { removeCondition, setCondition } from '../../api/conditions.ts';
import type { Condition, CubeTable } from '../../api/generated/types.ts';
import { contentHash } from '../../api/hash.ts';
import { notSupported } from '../../api/not-supported.ts';
import type { Log } from '../../k8s/log.ts';
import type { Stamp } from '../../operators/service-chain.ts';
import { type ChainOutcome, chainKey } from './manifests/chains.ts';
import { type DirectoryChange, isManifestName, ManifestDirectory } from './manifests/directory.ts';
import { FileSet, type FileVersion } from './manifests/file-set.ts';
import { Ledger } from './manifests/ledger.ts';
import {
  type KubeManifest,
  keyOfObject,
  type ManifestObject,
  objectKey,
  objectText,
} from './manifests/manifest-object.ts';
import { nodeView } from './manifests/node-view.ts';
import { isPrefixFileName, PrefixFiles } from './manifests/prefix-files.ts';
import { problemText } from './manifests/problem.ts';
import { type OldObjects, type Parts, readParts, readVersion } from './manifests/read-version.ts';
import { type DirectoryReport, Reporter } from './manifests/report.ts';
import { StatusFiles } from './manifests/status-files.ts';
import { ManifestStore } from './manifests/store.ts';
import { TableTranslator } from './manifests/tables.ts';
import type {
  Source,
  SourceHandler,
  SourceHealth,
  SourceKind,
  SourceObject,
  StatusTarget,
} from './source.ts';

export interface ManifestSourceOptions {
  /** The directory; it may be read-only, and may come later. */
  readonly directory: string;
  readonly node: string;
  /** Folder that holds one folder a node. */
  readonly stateRoot: string;
  readonly log: Log;
}

/** Order in which kinds are handed over: what others refer to comes first, the commit record last. */
const ORDER: readonly SourceKind[] = ['CubeTable', 'Node', 'Cube', 'CubeLink', 'CubeNode'];
/** Files of the directory that are read. */
const isRead = (name: string): boolean => isManifestName(name) || isPrefixFileName(name);
/** Generations are saved at most this often; a crash in between may count one change twice. */
const SAVE_MS = 1_000;
/** Characters from which on a file is read by its documents. */
const LARGE = 65_536;

/**
 * Objects from a directory of manifests, no cluster needed: the embedded source. It takes our kinds and plain Nodes,
 * Services and EndpointSlices, and runs the operator's own functions over them. A broken file keeps its last good
 * version in force, also over a restart; an unreadable directory keeps everything.
 */
export class ManifestSource implements Source {
  readonly name: string;
  readonly #options: ManifestSourceOptions;
  readonly #files = new FileSet();
  readonly #prefixFiles = new PrefixFiles();
  readonly #tables = new TableTranslator();
  readonly #statuses: StatusFiles;
  readonly #store: ManifestStore;
  readonly #reporter: Reporter;
  readonly #stopping = new AbortController();
  /** Objects with server's metadata, by the object that was read. */
  readonly #dressed = new WeakMap<KubeManifest, KubeManifest>();
  /** Of large files, what each of their documents holds. */
  readonly #parts = new Map<string, Parts>();
  #ledger = new Ledger();
  #goodTexts = new Map<string, string>();
  #stamps = new Map<string, Stamp>();
  /** What the handler has, by key, with the translated object it came from and a hash of what matters. */
  #given = new Map<string, { from: KubeManifest; hash: string; object: SourceObject }>();
  #objectsInForce = 0;
  #following: Promise<void> | undefined;
  #saveTimer: NodeJS.Timeout | undefined;
  #saving: Promise<void> = Promise.resolve();
  #synced = false;
  #problem: string | undefined = 'the directory has not been read yet';

  constructor(options: ManifestSourceOptions) {
    this.#options = options;
    this.name = `manifests in ${options.directory}`;
    this.#statuses = new StatusFiles(options.stateRoot, options.node);
    this.#store = new ManifestStore(options.stateRoot, options.node);
    this.#reporter = new Reporter(options.stateRoot, options.node, options.log);
  }

  async start(handler: SourceHandler): Promise<void> {
    const { log, directory } = this.#options;
    await this.#statuses.load();
    this.#ledger = new Ledger(await this.#store.loadLedger());
    this.#stamps = await this.#store.loadStamps();
    this.#goodTexts = await this.#store.loadGoodFiles();
    const scanned = async (change: DirectoryChange) => {
      try {
        await this.#take(change, handler);
      } catch (failure) {
        // The state directory: full, read-only. Objects have been handed over before it is written.
        this.#problem = `${this.#options.stateRoot}: ${(failure as Error).message}`;
        log.error({ err: failure }, `${this.#problem}; make it writable for the agent`);
      }
    };
    this.#following = new ManifestDirectory(directory, isRead).follow(scanned, this.#stopping.signal);
    this.#following.catch((failure) =>
      log.error({ err: failure }, `following ${directory} ended: restart the agent`),
    );
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#following;
    await this.#saving;
    clearTimeout(this.#saveTimer);
    await this.#store.saveLedger(this.#ledger.data());
  }

  async writeStatus(target: StatusTarget, status: Readonly<Record<string, unknown>>): Promise<boolean> {
    const key = objectKey(target.kind, target.namespace, target.name);
    const given = this.#given.get(key);
    if (given?.object.metadata.uid !== target.uid) return false;
    await this.#statuses.set(target, status);
    return true;
  }

  health(): SourceHealth {
    return { synced: this.#synced, ...(this.#problem === undefined ? {} : { problem: this.#problem }) };
  }

  async #take(change: DirectoryChange, handler: SourceHandler): Promise<void> {
    const { directory, log } = this.#options;
    if (change.failure !== undefined) {
      this.#problem = change.failure;
      await this.#report({ failure: change.failure, problems: [], warnings: [] });
      return;
    }
    for (const file of change.removed) {
      if (isPrefixFileName(file)) this.#prefixFiles.delete(file);
      else this.#files.delete(file);
      this.#parts.delete(file);
    }
    for (const [file, text] of change.changed) this.#read(file, text);
    const { objects: inForce, problems: manifestProblems } = this.#files.resolve();
    const problems = [...manifestProblems, ...this.#prefixFiles.problems(inForce.values())];
    this.#objectsInForce = inForce.size;
    const now = new Date();
    const objects = [...inForce.values()].map((entry) => this.#dress(entry, now));
    const { tables, diagnostics } = this.#tables.translate(objects);
    const view = nodeView(objects, this.#options.node, this.#stamps);
    const explicitTables = objects.filter((object) => object.kind === 'CubeTable');
    // A table has no status to tell it by.
    const unused = explicitTables.flatMap((table) =>
      notSupported(table as unknown as CubeTable).map((why) => ({
        object: objectText('CubeTable', table.metadata.namespace, table.metadata.name),
        ...why,
      })),
    );
    const taken = new Set(explicitTables.map(keyOfObject));
    const made = (tables as unknown as KubeManifest[]).filter((table) => !taken.has(keyOfObject(table)));
    const filled = explicitTables.map((table) => this.#prefixFiles.fill(table));
    this.#prefixFiles.keepOnly(taken);
    this.#hand([...filled, ...made, ...view.objects], handler, now);
    if (!this.#synced) {
      this.#synced = true;
      handler.synced();
      log.info({ directory, objects: inForce.size }, `read ${inForce.size} objects from ${directory}`);
    }
    this.#stamps = new Map(
      view.chains.flatMap(({ chain, stamp }) =>
        stamp === undefined ? [] : [[chainKey(chain), stamp] as const],
      ),
    );
    this.#forget(objects);
    const [first] = problems;
    const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
    this.#problem = first === undefined ? undefined : `${problemText(first)}${more}`;
    await this.#report({ problems, warnings: [...diagnostics, ...unused] });
    await this.#writeChainStatuses(view.chains, now);
    await this.#store.saveStamps(this.#stamps);
    this.#saveLedgerSoon();
    // Ten thousand new files take seconds to keep: the next change does not wait for that.
    const isGood = (file: string) => (isPrefixFileName(file) ? this.#prefixFiles : this.#files).isGood(file);
    const good = [...change.changed].filter(([file]) => isGood(file));
    this.#saving = this.#saving
      .then(() => this.#saveFiles(good, change.removed))
      .catch((failure: Error) => {
        log.error({ err: failure }, `the last good versions were not saved: ${failure.message}`);
      });
  }

  /** Reads one file; the first time also what was good of it in the agent's life before. */
  #read(file: string, text: string): void {
    const remembered = this.#goodTexts.get(file);
    if (isPrefixFileName(file)) {
      this.#prefixFiles.set(file, text, remembered);
      return;
    }
    const known = this.#files.good(file);
    const good =
      known ?? (remembered === undefined ? undefined : readVersion(file, remembered, () => undefined));
    const before = new Map(good?.objects.map((entry) => [entry.key, entry.object]));
    const old = (key: string) => before.get(key);
    const newest = text.length < LARGE ? readVersion(file, text, old) : this.#readLarge(file, text, old);
    this.#files.set(file, newest, good?.problems.length === 0 ? good : undefined);
  }

  #readLarge(file: string, text: string, old: OldObjects): FileVersion {
    const parts: Parts = this.#parts.get(file) ?? new Map();
    this.#parts.set(file, parts);
    return readParts(file, text, old, parts);
  }

  /** Gives an object what an API server would: uid, generation, creation time. The same entry gives the same object. */
  #dress(entry: ManifestObject, now: Date): KubeManifest {
    const { object } = entry;
    const known = this.#dressed.get(object);
    if (known !== undefined) return known;
    const dressed = { ...object, metadata: { ...object.metadata, ...this.#ledger.see(object, now) } };
    this.#dressed.set(object, dressed);
    return dressed;
  }

  /** Hands over what differs from the last time: additions and changes first, removals last. */
  #hand(objects: readonly KubeManifest[], handler: SourceHandler, now: Date): void {
    const next = new Map<string, { from: KubeManifest; hash: string; object: SourceObject }>();
    const changed = new Map<string, SourceObject>();
    for (const from of objects) {
      const key = keyOfObject(from);
      const last = this.#given.get(key);
      if (last?.from === from) {
        next.set(key, last);
        continue;
      }
      const { labels, annotations } = from.metadata;
      const nodeStatus = from.kind === 'Node' ? from.status : undefined;
      const hash = contentHash({ spec: from.spec, labels, annotations, nodeStatus });
      if (last?.hash === hash) {
        next.set(key, { ...last, from });
        continue;
      }
      const object = this.#sourceObject(from, now);
      next.set(key, { from, hash, object });
      changed.set(key, object);
    }
    const removed = [...this.#given].filter(([key]) => !next.has(key));
    this.#given = next;
    for (const kind of ORDER) {
      for (const object of changed.values()) if (object.kind === kind) handler.set(object);
    }
    for (const kind of [...ORDER].reverse()) {
      for (const [, { object }] of removed) {
        if (object.kind === kind) handler.delete(kind, object.metadata.namespace, object.metadata.name);
      }
    }
  }

  #sourceObject(from: KubeManifest, now: Date): SourceObject {
    const kind = from.kind as SourceKind;
    const { namespace, name, labels, annotations } = from.metadata;
    const meta = this.#ledger.see(this.#prefixFiles.original(from), now);
    const status =
      kind === 'Node' ? from.status : this.#statuses.get({ kind, namespace, name, uid: meta.uid });
    return {
      kind,
      metadata: {
        ...(namespace === undefined ? {} : { namespace }),
        name,
        ...meta,
        ...(labels === undefined ? {} : { labels }),
        ...(annotations === undefined ? {} : { annotations }),
      },
      spec: from.spec,
      ...(status === undefined ? {} : { status }),
    };
  }

  /** Drops the generations of objects that are gone. */
  #forget(objects: readonly KubeManifest[]): void {
    this.#ledger.keepOnly(new Set([...this.#given.keys(), ...objects.map(keyOfObject)]));
  }

  async #report(report: Pick<DirectoryReport, 'failure' | 'problems' | 'warnings'>): Promise<void> {
    const { directory } = this.#options;
    await this.#reporter.set({ directory, objects: this.#objectsInForce, ...report });
  }

  /** What this node makes of each chain, and no status any more for what is gone. */
  async #writeChainStatuses(chains: readonly ChainOutcome[], now: Date): Promise<void> {
    const keys = new Set(this.#given.keys());
    for (const { chain, accepted, reason, message, unresolved, stamp } of chains) {
      const { namespace, name, uid = '', generation = 1 } = chain.metadata;
      const owner = { kind: 'ServiceChain', namespace, name, uid };
      keys.add(keyOfObject(chain as unknown as KubeManifest));
      const last = (this.#statuses.get(owner)?.conditions ?? []) as readonly Condition[];
      const status = accepted ? 'True' : 'False';
      let conditions = setCondition(last, { type: 'Accepted', status, reason, message }, generation, now);
      if (unresolved === undefined) conditions = removeCondition(conditions, 'ResolvedRefs');
      else {
        const refs = { type: 'ResolvedRefs', status: 'False', ...unresolved } as const;
        conditions = setCondition(conditions, refs, generation, now);
      }
      await this.#statuses.set(owner, {
        observedGeneration: generation,
        ...(stamp === undefined ? {} : { revision: stamp.commit.revision }),
        conditions,
      });
    }
    await this.#statuses.keepOnly(keys);
  }

  async #saveFiles(good: readonly (readonly [string, string])[], removed: readonly string[]): Promise<void> {
    for (const file of removed) {
      this.#goodTexts.delete(file);
      await this.#store.removeGoodFile(file);
    }
    for (const [file, text] of good) {
      if (this.#goodTexts.get(file) !== text) await this.#store.saveGoodFile(file, text);
      this.#goodTexts.delete(file);
    }
  }

  #saveLedgerSoon(): void {
    if (!this.#ledger.changed || this.#saveTimer !== undefined) return;
    this.#saveTimer = setTimeout(() => {
      this.#saveTimer = undefined;
      this.#ledger.changed = false;
      this.#store.saveLedger(this.#ledger.data()).catch((failure) => {
        this.#options.log.error({ err: failure }, `generations were not saved: ${failure.message}`);
      });
    }, SAVE_MS);
  }
}
