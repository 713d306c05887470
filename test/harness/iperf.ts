// SPDX-License-Identifier: Apache-2.0

/** Of the JSON of iperf3's client. */
export interface IperfEnd {
  readonly sum_received?: IperfSum;
  readonly sum?: IperfSum;
}

interface IperfSum {
  readonly bytes: number;
  readonly bits_per_second: number;
  readonly lost_packets?: number;
  readonly lost_percent?: number;
}

/** The server serves one client at a time: one that is busy, as with the end of the last one, is asked again this long. */
const PATIENCE_MS = 30_000;

/**
 * Runs a client of iperf3 to its end.
 *
 * @param ask runs it once, with `--json`, whatever its status; returns what it printed.
 * @throws Error with what iperf3 says.
 */
export async function askIperf(ask: () => Promise<string>): Promise<IperfEnd> {
  for (const deadline = Date.now() + PATIENCE_MS; ; ) {
    const { error, end } = JSON.parse(await ask()) as { readonly error?: string; readonly end: IperfEnd };
    if (error === undefined) return end;
    if (!error.includes('busy') || Date.now() > deadline) throw new Error(`iperf3: ${error}`);
  }
}
