// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from '@jest/globals';
import { errorOfCause, errorOfStatus, type KubeErrorCode } from './errors.ts';

const at = { object: 'Cube default/x', verb: 'patch' };
const status = (code: number, body: object): string => JSON.stringify({ kind: 'Status', code, ...body });

describe('errors of the API server', () => {
  it.each<[number, object, KubeErrorCode, boolean]>([
    [400, {}, 'BadRequest', false],
    [401, {}, 'Unauthorized', true],
    [403, {}, 'Forbidden', false],
    [404, {}, 'NotFound', false],
    [409, { reason: 'Conflict' }, 'Conflict', true],
    [409, { reason: 'AlreadyExists' }, 'AlreadyExists', false],
    [410, {}, 'Expired', true],
    [413, {}, 'TooLarge', false],
    [422, {}, 'Invalid', false],
    [429, {}, 'TooManyRequests', true],
    [500, {}, 'ServerError', true],
    [504, {}, 'Timeout', true],
  ])('%i %j is %s', (code, body, wanted, retriable) => {
    const error = errorOfStatus(code, status(code, body), at);
    expect({ code: error.code, retriable: error.retriable }).toEqual({ code: wanted, retriable });
    expect(error.message).toContain('Cube default/x: patch answered');
    expect(error.remedy).not.toBe('');
  });

  it('names the fields that were refused, and leaves out causes without one', () => {
    const causes = [
      { field: 'spec.ports[0].mtu', message: 'too small' },
      { field: '<nil>', message: 'rules not checked' },
    ];
    const error = errorOfStatus(422, status(422, { message: 'invalid', details: { causes } }), at);
    expect(error.fields).toEqual([{ field: 'spec.ports[0].mtu', message: 'too small' }]);
    expect(error.message).toBe('Cube default/x: patch answered 422: invalid (correct spec.ports[0].mtu)');
  });

  it('keeps the time after which the server wants the next try', () => {
    expect(errorOfStatus(429, 'busy', { ...at, retryAfter: '3' }).retryAfterMs).toBe(3000);
    expect(errorOfStatus(500, status(500, { details: { retryAfterSeconds: 2 } }), at).retryAfterMs).toBe(
      2000,
    );
    expect(errorOfStatus(500, '<html>', at).retryAfterMs).toBeUndefined();
  });

  it('tells a refused connection, a time-out, a bad certificate and a stop apart', () => {
    const of = (code: string, message: string, aborted = false) =>
      errorOfCause(Object.assign(new Error(message), { code }), { ...at, server: 'https://k:6443', aborted });
    expect(of('ECONNREFUSED', 'connect').code).toBe('Unreachable');
    expect(of('UND_ERR_CONNECT_TIMEOUT', 'slow').code).toBe('Timeout');
    expect(of('SELF_SIGNED_CERT_IN_CHAIN', 'self-signed').remedy).toContain('certificate-authority');
    expect(of('ABORT_ERR', 'aborted', true).code).toBe('Aborted');
  });
});
