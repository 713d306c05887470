// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Action, describeAction, objectOf } from '../actions.ts';
import { AgentError, type AgentErrorCode } from '../errors.ts';
import { KernelError } from './addon/index.ts';
import { CAPABILITIES } from './capabilities.ts';

/** Fields of a Cube that make its maps larger, by map. */
const SIZE_FIELDS: Readonly<Record<string, string>> = {
  established: 'spec.loadBalancer.sessions.maxEstablished',
  embryonic: 'spec.loadBalancer.sessions.maxEmbryonic',
  affinity: 'spec.loadBalancer.sessions.maxAffinity',
  backends: 'spec.loadBalancer.sessions.maxBackends',
  frontends: 'spec.loadBalancer.sessions.maxFrontends',
  picks: 'spec.loadBalancer.sessions.maxPicks',
  source_ranges: 'spec.loadBalancer.sessions.maxSourceRanges',
};

/** What a failed action means to a person. The verifier's log goes to a file below `logs`. */
export function explain(action: Action, error: unknown, logs: string): AgentError {
  if (error instanceof AgentError) return error;
  if (!(error instanceof KernelError)) {
    return new AgentError('KernelError', `${describeAction(action)}: ${messageOf(error)}`, '', error);
  }
  const fail = (code: AgentErrorCode, message: string, remedy: string) =>
    new AgentError(code, `${objectOf(action)}: ${message}`, remedy, error);
  if (action.op === 'LoadInstance' || action.op === 'LoadEntry' || action.op === 'LoadXdpEntry') {
    const what =
      action.op === 'LoadInstance' ? action.instance.object : action.op === 'LoadEntry' ? 'tcx' : 'xdp';
    if (error.call === 'BPF_OBJECT_OPEN') {
      return fail(
        'ObjectMissing',
        `object file ${what}.o cannot be opened: ${error.detail}`,
        'build it with make',
      );
    }
    if (error.call === 'BPF_PROG_LOAD' && error.code !== 'EPERM' && error.log !== '') {
      const path = saveLog(logs, what, error.log);
      return fail(
        'ProgramRefused',
        `the kernel refused the program of ${what}.o: ${error.detail}`,
        `the verifier's log is in ${path}; report it together with the kernel's release`,
      );
    }
  }
  if (error.code === 'EPERM' || error.code === 'EACCES') {
    return fail('NotPermitted', `${error.call} ${error.object}: ${error.code}`, CAPABILITIES);
  }
  if (
    error.code === 'ENODEV' &&
    (action.op === 'Attach' || action.op === 'AttachFilter' || action.op === 'AttachXdp')
  ) {
    return fail(
      'InterfaceGone',
      `${action.name} (${action.ifindex}) is gone`,
      'it is attached again when it comes back',
    );
  }
  if ((error.code === 'EBUSY' || error.code === 'EEXIST') && action.op === 'AttachXdp') {
    return fail(
      'ForeignXDPProgram',
      `${action.name} has an XDP program of somebody else, which is not replaced`,
      `take it off (ip link set dev ${action.name} xdp off), or set the hook of the cube to TC`,
    );
  }
  if ((error.code === 'E2BIG' || error.code === 'ENOSPC') && action.op === 'WriteMap') {
    const field = SIZE_FIELDS[action.write.map];
    const remedy = field === undefined ? 'use fewer rows' : `raise ${field} of the Cube, or use fewer rows`;
    return fail('MapFull', `map ${action.write.map} is full`, remedy);
  }
  return fail('KernelError', `${describeAction(action)}: ${error.message}`, error.remedy);
}

function saveLog(logs: string, object: string, log: string): string {
  const path = join(logs, `verifier-${object}.log`);
  try {
    mkdirSync(logs, { recursive: true });
    writeFileSync(path, log);
  } catch {
    return `nowhere (${path} cannot be written)`;
  }
  return path;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
