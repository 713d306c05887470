// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { inCgroup } from './cgroup.ts';
import type { Namespace } from './netns.ts';

const TOOL = new URL('./tools/calls.py', import.meta.url).pathname;

export type Proto = 'tcp' | 'udp';
/** Address and port, IPv4 also where an IPv6 socket was told the mapped form. */
export type Place = readonly [address: string, port: number];

export interface Answer {
  /** Name of errno; null: the call succeeded. */
  readonly error: string | null;
  readonly text?: string;
  readonly from?: Place;
  readonly peer?: Place;
  readonly cookie?: number;
}

/** A process in a namespace and its cgroup that makes calls on sockets, one after the other, and serves (tools/calls.py). */
export class Caller {
  readonly #process: ChildProcess;
  readonly #lines: Interface;
  readonly #answers: AsyncIterator<string>;
  #next = 0;

  private constructor(process: ChildProcess) {
    this.#process = process;
    if (process.stdout === null) throw new Error('no pipe');
    this.#lines = createInterface(process.stdout);
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  /** In the cgroup from its first instruction; it ends with the lab. */
  static start(namespace: Namespace, cgroup = namespace.cgroup): Caller {
    const [command = '', ...args] = inCgroup(cgroup, namespace.wrap(['python3', TOOL]));
    const caller = new Caller(spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] }));
    namespace.lab.scope.defer(`caller in ${namespace.name}`, async () => caller.close());
    return caller;
  }

  close(): void {
    this.#process.kill('SIGKILL');
    this.#lines.close();
  }

  async call(op: string, args: Readonly<Record<string, unknown>> = {}): Promise<Answer> {
    this.#process.stdin?.write(`${JSON.stringify({ op, ...args })}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error('the process that makes calls has ended');
    return JSON.parse(value) as Answer;
  }

  async serve(proto: Proto, [address, port]: Place, text: string): Promise<void> {
    const { error } = await this.call('serve', { proto, address, port, text });
    if (error !== null) throw new Error(`cannot serve ${proto} ${address} ${port}: ${error}`);
  }

  async stop(proto: Proto, [address, port]: Place): Promise<void> {
    await this.call('stop', { proto, address, port });
  }

  /** A socket, by its number here. */
  async open(proto: Proto, family: 4 | 6): Promise<number> {
    const id = ++this.#next;
    await this.call('open', { id, proto, family });
    return id;
  }

  async connect(id: number, [address, port]: Place): Promise<string | null> {
    return (await this.call('connect', { id, address, port })).error;
  }

  async bind(id: number, [address, port]: Place): Promise<string | null> {
    return (await this.call('bind', { id, address, port })).error;
  }

  /** Lets a UDP socket be connected to nobody again. */
  async disconnect(id: number): Promise<string | null> {
    return (await this.call('disconnect', { id })).error;
  }

  /** To a place on an unconnected socket, else to whom it is connected. */
  async send(id: number, to?: Place): Promise<string | null> {
    return (await this.call('send', { id, ...(to && { address: to[0], port: to[1] }) })).error;
  }

  async receive(id: number): Promise<Answer> {
    return await this.call('receive', { id });
  }

  async peer(id: number): Promise<Place | undefined> {
    return (await this.call('peer', { id })).peer;
  }

  async closeSocket(id: number): Promise<void> {
    await this.call('close', { id });
  }
}
