// SPDX-License-Identifier: Apache-2.0
/**
 * A campaign in the network namespace that this process runs in, whose devices take the bridge's copies. Its argument is a
 * {@link BridgeCampaign} in JSON; it prints the result in JSON.
 */
import { type BridgeCampaign, runCampaign } from './bridge-campaign.ts';

const result = await runCampaign(JSON.parse(process.argv[2] ?? '') as BridgeCampaign);
process.stdout.write(JSON.stringify(result));
