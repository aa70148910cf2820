import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeHostMessage, FrameDecoder, type WorkerMessage } from './protocol/index.js';
import { BUILT_IN_WORKER, fixture, WorkerProcess } from './testing/worker-process.js';

test('whatever is printed to stdout goes to stderr and never into the stream', async () => {
  await using worker = new WorkerProcess(fixture('noisy'));
  await worker.start({});
  worker.send({ type: 'infer', id: 1, deadlineMs: 0, inputs: [] });
  // The decoder of the test throws on anything that is not a frame.
  assert.equal((await worker.answer(1)).type, 'result');
  worker.stdin.end();
  const { code, stderr } = await worker.exited;
  assert.equal(code, 0);
  for (const when of ['load', 'infer']) {
    for (const source of ['console', 'stdout', 'write', 'puts', 'child'])
      assert.match(stderr, new RegExp(`${source} in ${when}\n`));
  }
});

test('frames may come from a file and go to one', () => {
  const folder = mkdtempSync(join(tmpdir(), 'worker-files-'));
  try {
    const hello = encodeHostMessage({
      type: 'hello',
      protocol: { min: 1, max: 1 },
      worker: 'file/0',
      limits: { maxFrameBytes: 1 << 20, maxInFlight: 2, maxInFlightBytes: 1 << 20 },
      config: { backend: 'identity', inputs: [{ name: 'x', datatype: 'FP32', shape: [1] }] },
    });
    writeFileSync(join(folder, 'in'), Buffer.concat(hello));
    const input = openSync(join(folder, 'in'), 'r');
    const output = openSync(join(folder, 'out'), 'w');
    const { status } = spawnSync(process.execPath, [BUILT_IN_WORKER], { stdio: [input, output, 'pipe'] });
    closeSync(input);
    closeSync(output);
    const messages = new FrameDecoder<WorkerMessage>('host', { maxFrameBytes: 1 << 20 }).push(
      readFileSync(join(folder, 'out')),
    );
    assert.deepEqual([status, messages[0]?.type], [0, 'hello']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
