// SPDX-License-Identifier: Apache-2.0
/** What runs in the pods of a connectivity test; without the client of the API server, which they do not need. */
import { runClient } from '../connectivity/client.ts';
import { QUESTIONS, type Question } from '../connectivity/probe.ts';
import { serve } from '../connectivity/server.ts';

export async function connectivityServer(options: {
  name: string;
  port: string;
  address?: string[];
}): Promise<void> {
  await serve(options.name, Number(options.port), options.address ?? []);
}

export async function connectivityClient(options: { report: string }): Promise<void> {
  await runClient(JSON.parse(process.env[QUESTIONS] ?? '[]') as Question[], options.report);
}
