// SPDX-License-Identifier: Apache-2.0
/**
 * Pods whose network went with a restart of the node. While no API server can be asked, the kubelet may start some of them
 * again, as those of its own files: they get the addresses that Services, policies and other nodes know them by, and what
 * was known of them. Forgotten once the source is heard.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { textOf } from '../errors.ts';
import { readRecord, writeRecord } from '../files.ts';
import type { AboutPod, PodRecord } from '../pod-record.ts';
import type { Attachment } from './attachment.ts';

export interface KnownPod {
  readonly namespace: string;
  readonly name: string;
  /** As the runtime was told: another pod of that name is not known. */
  readonly uid: string;
  readonly addresses: readonly string[];
  readonly about?: AboutPod;
}

export class KnownPods {
  readonly #path: string;
  #pods: readonly KnownPod[] = [];

  /** @param stateDir the node's own folder of state. */
  constructor(stateDir: string) {
    this.#path = join(stateDir, 'cni', 'known.json');
  }

  load(onProblem: (message: string) => void): void {
    try {
      const pods = readRecord(this.#path) ?? [];
      this.#pods = Array.isArray(pods) ? (pods as KnownPod[]) : [];
    } catch (error) {
      onProblem(textOf(error));
    }
  }

  /** Before what is written down of them goes. Throws where the disk refuses. */
  remember(lost: readonly Attachment[], records: readonly PodRecord[]): void {
    const pods = lost.flatMap(({ phase, pod: { namespace, name }, uid, addresses }): KnownPod[] => {
      if (phase !== 'Ready' || uid === undefined) return [];
      const about = records.find((one) => one.namespace === namespace && one.name === name)?.about;
      return [{ namespace, name, uid, addresses, ...(about && { about: { ...about, isRecorded: true } }) }];
    });
    if (pods.length === 0) return;
    const isNew = (pod: KnownPod) => !pods.some(({ uid }) => uid === pod.uid);
    this.#pods = [...this.#pods.filter(isNew), ...pods];
    writeRecord(this.#path, this.#pods);
  }

  find(
    namespace: string | undefined,
    name: string | undefined,
    uid: string | undefined,
  ): KnownPod | undefined {
    return this.#pods.find(
      (pod) => pod.namespace === namespace && pod.name === name && pod.uid === uid && uid !== '',
    );
  }

  /** Nobody else gets these. */
  addresses(): string[] {
    return this.#pods.flatMap(({ addresses }) => addresses);
  }

  clear(): void {
    if (this.#pods.length > 0) rmSync(this.#path, { force: true });
    this.#pods = [];
  }
}
