// SPDX-License-Identifier: Apache-2.0
import { rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { AgentError } from '../errors.ts';
import { isTooLong, listenPrivately } from '../private-socket.ts';
import { CODE } from './cni-error.ts';
import type { CniService } from './service.ts';
import { NEWEST_VERSION } from './versions.ts';
import { answerText, type CniAnswer, MAX_REQUEST, readCall, SIGN_OF_LIFE } from './wire.ts';

const SIGN_OF_LIFE_MS = 1000;
/** A plugin sends its whole request at once. */
const REQUEST_MS = 10_000;

/** Serves the plugin, on a socket that only root can open: one request a connection. */
export class CniServer {
  readonly #service: CniService;
  readonly #path: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(service: CniService, path: string) {
    this.#service = service;
    this.#path = path;
    // The plugin ends its side when it has sent all, and still waits for the answer.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#serve(socket));
  }

  /** Before anything of the node is touched: throws AgentError where the socket cannot be, or is another agent's. */
  async claim(): Promise<void> {
    if (isTooLong(this.#path))
      throw new AgentError(
        'InvalidRequest',
        `${this.#path} is longer than 107 bytes`,
        'shorten --cni-socket',
      );
    if (await isServed(this.#path))
      throw new AgentError(
        'AlreadyRunning',
        `another agent serves ${this.#path}`,
        'end it, or choose another --cni-socket',
      );
  }

  /** Takes calls from now on. */
  async start(): Promise<void> {
    await listenPrivately(this.#server, this.#path);
  }

  /** Takes no more calls, and lets those that run end. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await this.#service.idle();
    for (const socket of this.#sockets) {
      if (socket.writable) socket.end();
      else socket.destroy();
    }
    setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, 1000).unref();
    await closed;
    rmSync(this.#path, { force: true });
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    const chunks: Buffer[] = [];
    let size = 0;
    let isOver = false;
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    const finish = (answer: CniAnswer) => {
      if (socket.writable) socket.end(answerText(answer));
    };
    const refuse = (why: string, remedy: string) => {
      isOver = true;
      socket.pause();
      finish({
        status: 1,
        body: { cniVersion: NEWEST_VERSION, code: CODE.DecodeFailure, msg: why, details: remedy },
      });
    };
    socket.setTimeout(REQUEST_MS, () => {
      if (!isOver) socket.destroy();
    });
    socket.on('data', (chunk: Buffer) => {
      if (isOver) return;
      size += chunk.length;
      chunks.push(chunk);
      if (size > MAX_REQUEST) refuse('the request is too long', 'a network configuration may have 1 MiB');
    });
    socket.on('end', () => {
      if (isOver) return;
      isOver = true;
      const call = readCall(Buffer.concat(chunks));
      if (call === undefined) {
        refuse('the request is not one of this release', 'install plugin and agent of the same release');
        return;
      }
      const alive = setInterval(() => {
        if (socket.writable) socket.write(SIGN_OF_LIFE);
      }, SIGN_OF_LIFE_MS);
      void this.#service
        .answer(call, () => this.#isHeard(socket))
        .then((answer) => {
          clearInterval(alive);
          finish(answer);
        });
    });
  }

  /** A peer that has gone shows when something is sent to it. */
  async #isHeard(socket: Socket): Promise<boolean> {
    if (!socket.writable) return false;
    return await new Promise<boolean>((resolve) => {
      socket.write(SIGN_OF_LIFE, (error) => resolve(!error));
      socket.once('close', () => resolve(false));
    });
  }
}

/** Whether somebody takes connections there. */
async function isServed(path: string): Promise<boolean> {
  return await new Promise<boolean>((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
