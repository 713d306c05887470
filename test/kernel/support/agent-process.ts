// SPDX-License-Identifier: Apache-2.0
/**
 * One agent in a process of its own, in the network namespace of its node, told what to do by lines of JSON on standard
 * input: `{id, op, ...}` is answered by `{id, result}` or `{id, error}`. With CUBEPLANE_FAIL_AFTER=N it kills itself
 * right after its Nth action, as a crash would.
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ddosMitigator } from '../../../src/cubes/ddos-mitigator/type.ts';
import { describeAction } from '../../../src/dataplane/actions.ts';
import { Agent } from '../../../src/dataplane/agent.ts';
import { AgentError } from '../../../src/dataplane/errors.ts';
import { AgentServer } from '../../../src/dataplane/server.ts';
import type { SourceObject } from '../../../src/dataplane/sources/source.ts';
import { MemorySource } from './memory-source.ts';
import { tapType } from './tap-type.ts';
import { turnType } from './turn-type.ts';

interface Command {
  id: number;
  op: string;
  objects?: SourceObject[];
  gone?: [SourceObject['kind'], string | undefined, string][];
  request?: never;
  namespace?: string;
  name?: string;
}

const { NODE = 'node-a', STATE = '', BPFFS, OBJECTS, ABI, CUBEPLANE_FAIL_AFTER } = process.env;
const source = new MemorySource();
let left = Number(CUBEPLANE_FAIL_AFTER ?? Number.POSITIVE_INFINITY);
const done: string[] = [];
const say = (fields: object, message: string) =>
  process.stderr.write(`${message} ${JSON.stringify(fields)}\n`);
const agent = new Agent({
  node: NODE,
  source,
  stateDir: STATE,
  types: new Map([
    ['Turn', turnType as never],
    ['Tap', tapType],
    ['DDoSMitigator', ddosMitigator as never],
  ]),
  log: { debug: say, info: say, warn: say, error: say },
  ...(BPFFS === undefined ? {} : { bpffs: BPFFS }),
  ...(OBJECTS === undefined ? {} : { objects: OBJECTS }),
  ...(ABI === undefined ? {} : { abi: Number(ABI) }),
  afterAction: ({ op }) => {
    done.push(op);
    if (--left === 0) process.kill(process.pid, 'SIGKILL');
  },
});

async function obey(command: Command): Promise<unknown> {
  switch (command.op) {
    case 'set':
      for (const object of command.objects ?? []) source.set(object);
      for (const [kind, namespace, name] of command.gone ?? []) source.delete(kind, namespace, name);
      return null;
    case 'synced':
      source.synced();
      return null;
    case 'settled':
      await agent.settled();
      return {
        actions: done.splice(0),
        health: agent.health(),
        statuses: Object.fromEntries(source.statuses),
        writes: source.writes,
      };
    case 'plan':
      return (await agent.plan()).map(describeAction);
    case 'plug':
      return await agent.plug(command.request as never);
    case 'unplug':
      return await agent.unplug(command.namespace ?? '', command.name ?? '');
    case 'follow':
      return await agent.followDevice(command.name ?? '');
    case 'stop':
      await server.stop();
      await agent.stop();
      return null;
    default:
      throw new Error(`unknown op ${command.op}`);
  }
}

// The command line finds the agent's socket in the folder of its node.
const server = new AgentServer(agent, join(STATE, NODE));
await server.start();
await agent.start();
process.stdout.write('{"id":0,"result":"started"}\n');
const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const command = JSON.parse(line) as Command;
  obey(command).then(
    (result) => process.stdout.write(`${JSON.stringify({ id: command.id, result })}\n`),
    (error: Error) => {
      const { message } = error;
      const rest =
        error instanceof AgentError ? { code: error.code, remedy: error.remedy } : { stack: error.stack };
      process.stdout.write(`${JSON.stringify({ id: command.id, error: { message, ...rest } })}\n`);
    },
  );
});
lines.on('close', () => process.exit(0));
