import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { WorkerFault, WORKER_ERROR_CODES } from '@supervisor/worker/protocol';
import { WireError } from './codec/wire.js';
import { SERVER_ERROR_STATUS, ServerError, toGrpcStatus, WORKER_ERROR_STATUS } from './errors.js';

const page = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8');

test('docs/errors.md lists the server errors and their statuses, no more and no fewer', () => {
  assert.deepEqual(documented('### From the server'), SERVER_ERROR_STATUS);
});

test('docs/errors.md lists the worker errors and their statuses, no more and no fewer', () => {
  assert.deepEqual(documented('### From a worker'), WORKER_ERROR_STATUS);
  assert.deepEqual(Object.keys(WORKER_ERROR_STATUS).sort(), [...WORKER_ERROR_CODES].sort());
});

test('the status starts with the code', () => {
  assert.deepEqual(toGrpcStatus(new ServerError('QUEUE_FULL', 'full')), {
    code: status.RESOURCE_EXHAUSTED,
    details: 'QUEUE_FULL: full',
  });
  assert.deepEqual(toGrpcStatus(new WorkerFault('MODEL_CORRUPT', 'bad')), {
    code: status.FAILED_PRECONDITION,
    details: 'MODEL_CORRUPT: bad',
  });
});

test('a status can always be sent: no lone surrogates, no text that overflows a header', () => {
  const { details } = toGrpcStatus(new WorkerFault('INTERNAL', `\ud800 ${'x'.repeat(100_000)}`));
  assert.ok(details.length < 2000);
  assert.doesNotThrow(() => encodeURI(details));
  const cutInside = toGrpcStatus(new WorkerFault('INTERNAL', '😀'.repeat(1000)));
  assert.doesNotThrow(() => encodeURI(cutInside.details));
});

test('what was thrown keeps its meaning; what nobody knows keeps its text from the caller', () => {
  const fault = new WorkerFault('UNAVAILABLE', 'gone');
  assert.equal(ServerError.from(fault), fault);
  assert.equal(ServerError.from(new WireError('bad', 3)).code, 'MALFORMED_MESSAGE');
  const unknown = ServerError.from(new Error('password: 123'));
  assert.equal(unknown.code, 'INTERNAL');
  assert.doesNotMatch(unknown.message, /123/);
});

/** Rows of the first table under a heading: code -> status. */
function documented(heading: string): Record<string, string> {
  const start = page.indexOf(heading);
  assert.ok(start >= 0, `docs/errors.md has no "${heading}"`);
  const end = page.indexOf('\n#', start + heading.length);
  const section = page.slice(start, end === -1 ? undefined : end);
  const rows = [...section.matchAll(/^\| `(\w+)` *\| (\w+) *\|/gm)];
  return Object.fromEntries(rows.map(([, code, name]) => [code!, name!]));
}
