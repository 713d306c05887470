// SPDX-License-Identifier: Apache-2.0
/** The plugin by itself: what it answers without an agent, and what it takes from one. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readCall } from '../../src/dataplane/cni/wire.ts';

const PLUGIN = new URL('../../build/cubeplane-cni', import.meta.url).pathname;

let folder: string;
let socketPath: string;
let server: Server | undefined;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cubeplane-cni-'));
  socketPath = join(folder, 'cni.sock');
});
afterEach(async () => {
  const open = server;
  server = undefined;
  if (open !== undefined) await new Promise((resolve) => open.close(resolve));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly ms: number;
}

async function plugin(
  env: Readonly<Record<string, string>>,
  input: string | Buffer | undefined,
): Promise<Outcome> {
  const startedAt = performance.now();
  const child = spawn(PLUGIN, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stdin.on('error', () => {});
  if (input !== undefined) child.stdin.end(input);
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  child.stdin.destroy();
  return { status, stdout: Buffer.concat(chunks).toString(), ms: performance.now() - startedAt };
}

const conf = (members: object = {}) =>
  JSON.stringify({ cniVersion: '1.0.0', socket: socketPath, ...members });

/** An agent that does something else than it should. */
async function listen(serve: (socket: Socket, request: Promise<Buffer>) => void): Promise<void> {
  server = createServer({ allowHalfOpen: true }, (socket) => {
    const chunks: Buffer[] = [];
    socket.on('error', () => {});
    socket.on('data', (chunk) => chunks.push(chunk));
    serve(socket, new Promise((resolve) => socket.on('end', () => resolve(Buffer.concat(chunks)))));
  });
  await new Promise<void>((resolve) => server?.listen(socketPath, resolve));
}

const ADD = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c',
  CNI_NETNS: '/n',
  CNI_IFNAME: 'eth0',
  CNI_ARGS: 'a=b',
};

test('it is smaller than 200 KB and needs no library', () => {
  expect(statSync(PLUGIN).size).toBeLessThan(200_000);
  // Program headers of the ELF file (e_phoff, e_phentsize, e_phnum): none asks for an interpreter, PT_INTERP.
  const elf = readFileSync(PLUGIN);
  const [at, size, count] = [Number(elf.readBigUInt64LE(32)), elf.readUInt16LE(54), elf.readUInt16LE(56)];
  const types = Array.from({ length: count }, (_, i) => elf.readUInt32LE(at + i * size));
  expect(types).toContain(1);
  expect(types).not.toContain(3);
});

test('how long it takes to start is told', async () => {
  const times: number[] = [];
  for (let i = 0; i < 40; i++) times.push((await plugin({ CNI_COMMAND: 'VERSION' }, conf())).ms);
  times.sort((a, b) => a - b);
  process.stderr.write(
    `cubeplane-cni: ${statSync(PLUGIN).size} bytes; VERSION in ${times[0]?.toFixed(1)} ms at best, ${times[20]?.toFixed(1)} ms in the middle, fork and pipes included\n`,
  );
  expect(times).toHaveLength(40);
});

describe('VERSION', () => {
  const SUPPORTED = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'];
  test.each([
    ['{"cniVersion":"0.4.0"}', '0.4.0'],
    ['  {"a":[{"cniVersion":"9"},"]"],"cniVersion" : "1.0.0"}\n', '1.0.0'],
    ['{"cniVersion":"1\\u002e0.0"}', '1.0.0'],
    ['{"cniVersion":"\\"},{"}', '1.1.0'],
    ['{"cniVersion":7}', '1.1.0'],
    ['{}', '1.1.0'],
    ['', '1.1.0'],
  ])('of %s needs no agent', async (input, cniVersion) => {
    const { status, stdout } = await plugin({ CNI_COMMAND: 'VERSION' }, input);
    expect({ status, answer: JSON.parse(stdout) }).toEqual({
      status: 0,
      answer: { cniVersion, supportedVersions: SUPPORTED },
    });
  });

  test.each(['{', '[]', 'x', '{"a":1} x', '{"a"}', '{"a":}}', `{"a":${'['.repeat(100)}`, '{"a":"', '\0'])(
    'of %j is a decoding failure',
    async (input) => {
      const { status, stdout } = await plugin({ CNI_COMMAND: 'VERSION' }, input);
      expect({ status, code: JSON.parse(stdout).code }).toEqual({ status: 1, code: 6 });
    },
  );
});

/** Runs of the property; each starts the plugin once. */
const RANDOM = 200;

test('any object is read as JavaScript reads it, and anything else is refused', async () => {
  const versions = fc.constantFrom('0.3.1', '0.4.0', '1.0.0', '1.1.0');
  const deep = fc.oneof(fc.jsonValue({ maxDepth: 4 }), fc.record({ cniVersion: fc.constant('9.9.9') }));
  const object = fc
    .record({ before: fc.dictionary(fc.string(), deep), cniVersion: versions, after: deep })
    .map(({ before, cniVersion, after }) => ({ ...before, cniVersion, after }));
  const spaces = fc.constantFrom(undefined, 1, '\t');
  await fc.assert(
    fc.asyncProperty(object, spaces, fc.nat(), async (value, space, cut) => {
      const text = JSON.stringify(value, undefined, space);
      const whole = await plugin({ CNI_COMMAND: 'VERSION' }, text);
      expect(JSON.parse(whole.stdout)).toMatchObject({
        cniVersion: value.cniVersion,
        supportedVersions: expect.anything(),
      });
      const half = await plugin({ CNI_COMMAND: 'VERSION' }, text.slice(0, 1 + (cut % (text.length - 1))));
      expect(JSON.parse(half.stdout)).toMatchObject({ code: 6 });
    }),
    { numRuns: RANDOM },
  );
});

test.each([
  ['no command', {}, conf(), 4, 'CNI_COMMAND'],
  ['an unknown command', { CNI_COMMAND: 'add' }, conf(), 4, 'CNI_COMMAND'],
  ['a variable without end', { ...ADD, CNI_ARGS: 'x'.repeat(20_000) }, conf(), 4, 'CNI_ARGS'],
  ['no configuration', ADD, '', 6, 'standard input'],
  ['a broken configuration', ADD, '{"cniVersion":"1.0.0"', 6, 'standard input'],
  ['a configuration without end', ADD, Buffer.alloc(1_100_000, 32), 6, '1 MiB'],
  ['a relative socket', ADD, conf({ socket: 'a.sock' }), 7, 'socket'],
  ['a socket that is a number', ADD, conf({ socket: 5 }), 7, 'socket'],
  ['a socket with a long path', ADD, conf({ socket: `/${'a'.repeat(120)}` }), 7, 'socket'],
  ['nobody at the socket', ADD, conf({ socket: '/nowhere/cni.sock' }), 11, '/nowhere/cni.sock'],
  ['STATUS with nobody there', { CNI_COMMAND: 'STATUS' }, conf(), 50, 'does not answer'],
] as const)('%s: the error of the specification', async (_, env, input, code, names) => {
  const { status, stdout } = await plugin(env as Record<string, string>, input);
  const answer = JSON.parse(stdout);
  expect({ status, code: answer.code }).toEqual({ status: 1, code });
  expect(answer.msg).toContain(names);
  expect(answer.details).not.toBe('');
  expect(answer.cniVersion).toMatch(/^1\.[01]\.0$/);
});

test('standard input that stays open is an error, not a hang', async () => {
  const { status, stdout, ms } = await plugin(ADD, undefined);
  expect({ status, code: JSON.parse(stdout).code }).toEqual({ status: 1, code: 5 });
  expect(ms).toBeLessThan(20_000);
}, 30_000);

describe('with an agent', () => {
  test('it hands everything over, and prints what it gets', async () => {
    let call: ReturnType<typeof readCall>;
    await listen(async (socket, request) => {
      call = readCall(await request);
      socket.write('\n\n');
      setTimeout(() => socket.end('0 12\n{"a":"\u00fc "}\n'), 50);
    });
    const large = conf({ filler: 'x'.repeat(500_000) });
    expect(await plugin({ ...ADD, CNI_PATH: '/p' }, large)).toMatchObject({
      status: 0,
      stdout: '{"a":"ü "}\n',
    });
    expect(call).toEqual({
      command: 'ADD',
      containerId: 'c',
      netns: '/n',
      ifname: 'eth0',
      args: 'a=b',
      path: '/p',
      config: large,
    });
  });

  test('it ends with status 1 where the agent says so', async () => {
    await listen(async (socket, request) => {
      await request;
      socket.end('1 3\n{}\n');
    });
    expect(await plugin(ADD, conf())).toMatchObject({ status: 1, stdout: '{}\n' });
  });

  test.each([
    ['ends at once', '', 11],
    ['ends in the middle', '0 100\n{"a":', 11],
    ['says something else', 'HTTP/1.1 400 Bad Request\r\n', 5],
    ['has no length', '0 \n{}', 5],
    ['has a negative length', '0 -5\n{}', 5],
    ['has a huge length', '0 99999999999999999999\n{}', 5],
    ['has a length above the bound', '0 1048577\n', 5],
    ['has no end of its first line', 'x'.repeat(100_000), 5],
  ])('an answer that %s prints an error and nothing of it', async (_, text, code) => {
    await listen(async (socket, request) => {
      await request;
      socket.end(text);
    });
    const { status, stdout } = await plugin(ADD, conf());
    expect({ status, code: JSON.parse(stdout).code }).toEqual({ status: 1, code });
  });

  test('one that is silent is given up within seconds', async () => {
    const sockets: Socket[] = [];
    await listen((socket) => void sockets.push(socket));
    const { status, stdout, ms } = await plugin(ADD, conf());
    for (const socket of sockets) socket.destroy();
    expect({ status, code: JSON.parse(stdout).code }).toEqual({ status: 1, code: 11 });
    expect(ms).toBeGreaterThan(4_500);
    expect(ms).toBeLessThan(20_000);
  }, 30_000);

  test('one that gives signs of life is waited for', async () => {
    await listen(async (socket, request) => {
      await request;
      const timer = setInterval(() => socket.write('\n'), 1000);
      setTimeout(() => {
        clearInterval(timer);
        socket.end('0 3\n{}\n');
      }, 7_000);
    });
    expect(await plugin(ADD, conf())).toMatchObject({ status: 0, stdout: '{}\n' });
  }, 30_000);
});
