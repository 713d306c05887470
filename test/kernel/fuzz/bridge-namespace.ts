// SPDX-License-Identifier: Apache-2.0
import { execFile, execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { BridgeCampaign, BridgeResult } from './bridge-campaign.ts';

/** Two for each pair: one takes the copies for a port, and one of all those for cubes. */
const PAIRS = 5;
const CHILD = fileURLToPath(new URL('bridge-child.ts', import.meta.url));

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

/** A network namespace with devices that a bridge's copies can go to. Campaigns run in it, in processes of their own. */
export class BridgeNamespace {
  readonly #name = `fuzz-bridge-${process.pid}`;
  readonly #devices: readonly number[];

  constructor() {
    ip('netns', 'add', this.#name);
    try {
      for (let i = 0; i < PAIRS; i++) {
        ip('-n', this.#name, 'link', 'add', `a${i}`, 'type', 'veth', 'peer', 'name', `b${i}`);
      }
      const links = JSON.parse(ip('-n', this.#name, '-json', 'link')) as {
        ifindex: number;
        ifname: string;
      }[];
      this.#devices = links.filter(({ ifname }) => ifname !== 'lo').map(({ ifindex }) => ifindex);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  async run(campaign: Omit<BridgeCampaign, 'devices'> = {}): Promise<BridgeResult> {
    const argument = JSON.stringify({ ...campaign, devices: this.#devices });
    const command = [`--net=/run/netns/${this.#name}`, process.execPath, CHILD, argument];
    const { stdout } = await promisify(execFile)('nsenter', command, {
      env: { ...process.env, NODE_OPTIONS: '' },
      maxBuffer: 1 << 24,
    });
    return JSON.parse(stdout) as BridgeResult;
  }

  close(): void {
    ip('netns', 'del', this.#name);
  }
}
