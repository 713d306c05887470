// SPDX-License-Identifier: Apache-2.0
import { Stage } from './bridge-bench.ts';
import { openBridge } from './bridge-subject.ts';
import { type CampaignResult, campaign } from './campaign.ts';

/** What a campaign is told; all of it is plain data. */
export interface BridgeCampaign {
  /** Interface numbers: one for each port, then that of copies for cubes; more are not used. */
  readonly devices: readonly number[];
  /** Another build of the object file. */
  readonly path?: string;
  readonly packets?: number;
  readonly seed?: number;
}

export interface BridgeResult extends CampaignResult {
  /** How often each event and drop was to be counted, by the model. */
  readonly outcomes: Readonly<Record<string, number>>;
}

export async function runCampaign({ devices, path, ...span }: BridgeCampaign): Promise<BridgeResult> {
  const outcomes = new Map<string, number>();
  const stage = await Stage.open(devices);
  try {
    const open = { stage, outcomes, ...(path === undefined ? {} : { path }) };
    const result = await campaign((random) => openBridge(random, open), span);
    return { ...result, outcomes: Object.fromEntries(outcomes) };
  } finally {
    stage.close();
  }
}
