// SPDX-License-Identifier: Apache-2.0
import type { Namespace } from './netns.ts';

export interface HttpAnswer {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const SCRIPT = `import json,sys,urllib.request,urllib.error
try:
  r = urllib.request.urlopen(sys.argv[1], timeout=10)
except urllib.error.HTTPError as e:
  r = e
except OSError as e:
  print('null'); sys.exit(0)
headers = {k.lower(): v for k, v in r.headers.items()}
print(json.dumps({'status': r.status, 'headers': headers, 'body': r.read().decode()}))`;

/** A GET from a network namespace; undefined: nobody answers. A bare machine has Python, but no curl. */
export async function httpGet(
  from: Namespace,
  address: string,
  port: number,
  path = '/',
): Promise<HttpAnswer | undefined> {
  const host = address.includes(':') ? `[${address}]` : address;
  const { stdout } = await from.exec(['python3', '-c', SCRIPT, `http://${host}:${port}${path}`]);
  return (JSON.parse(stdout) as HttpAnswer | null) ?? undefined;
}
