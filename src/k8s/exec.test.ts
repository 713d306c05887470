// SPDX-License-Identifier: Apache-2.0
/** The other side speaks as an API server does: RFC 6455 frames, each with the number of its channel in front. */
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { KubeClient } from './client.ts';
import { execInPod } from './exec.ts';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const POD = { namespace: 'cubeplane-system', name: 'agent-1', container: 'agent' };

let server: Server;
let client: KubeClient;
let asked: URL;
let authorization: string | undefined;
afterEach(async () => {
  await client.close();
  server.close();
});

/** Binary frames below 126 bytes, not masked, as servers send them; then a close frame. */
async function answering(...frames: [number, string][]): Promise<void> {
  server = createServer().on('upgrade', (request, socket) => {
    asked = new URL(request.url ?? '', 'http://localhost');
    authorization = request.headers.authorization;
    const key = createHash('sha1').update(`${request.headers['sec-websocket-key']}${GUID}`).digest('base64');
    socket.on('error', () => undefined);
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key}\r\nSec-WebSocket-Protocol: ${request.headers['sec-websocket-protocol']}\r\n\r\n`,
    );
    for (const [channel, text] of frames) {
      const data = Buffer.concat([Buffer.from([channel]), Buffer.from(text, 'latin1')]);
      socket.write(Buffer.concat([Buffer.from([0x82, data.length]), data]));
    }
    socket.end(Buffer.from([0x88, 2, 0x03, 0xe8]));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  client = new KubeClient({
    server: `http://127.0.0.1:${port}/prefix`,
    namespace: 'default',
    tls: async () => ({}),
    headers: async () => ({ authorization: 'Bearer word' }),
  });
}

const SUCCESS = '{"status":"Success"}';

test('a program that ends well: what it said, also where a letter is in two messages', async () => {
  const [first, second] = Buffer.from('ü').toString('latin1');
  await answering([1, 'gr'], [1, String(first)], [1, `${second}n`], [2, 'note'], [3, SUCCESS]);
  const result = await execInPod(client, POD, ['cubeplane', 'trace', '-o', 'json']);
  expect(result).toEqual({ stdout: 'grün', stderr: 'note', failure: '' });
  expect(asked.pathname).toBe('/prefix/api/v1/namespaces/cubeplane-system/pods/agent-1/exec');
  expect(asked.searchParams.getAll('command')).toEqual(['cubeplane', 'trace', '-o', 'json']);
  expect(asked.searchParams.get('container')).toBe('agent');
  expect(authorization).toBe('Bearer word');
});

test('a program that fails, and a connection that ends before it says so', async () => {
  await answering([3, '{"status":"Failure","message":"command terminated with exit code 3"}']);
  expect(await execInPod(client, POD, ['false'])).toMatchObject({
    failure: 'command terminated with exit code 3',
  });
  await client.close();
  server.close();
  await answering([1, 'half']);
  await expect(execInPod(client, POD, ['true'])).rejects.toThrow(
    /Pod cubeplane-system\/agent-1: exec: the connection ended/,
  );
});
