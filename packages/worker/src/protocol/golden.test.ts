import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { undescribe } from '../golden/description.js';
import {
  encodeHostMessage,
  encodeWorkerMessage,
  FrameDecoder,
  type HostMessage,
  type WorkerMessage,
} from './index.js';

const folder = fileURLToPath(new URL('../../golden/', import.meta.url));
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.bin'))
  .map((file) => file.slice(0, -4));
const limits = { maxFrameBytes: 1 << 20 };

test('there is a golden frame of every message type', () => {
  const seen = new Set(names.map((name) => readFileSync(`${folder}${name}.bin`)[4]));
  const all = [0x01, 0x02, 0x03, 0x04, 0x05, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88];
  assert.deepEqual(
    [...seen].sort((a = 0, b = 0) => a - b),
    all,
  );
});

for (const name of names) {
  test(`golden frame ${name} is read and written as described`, () => {
    const bytes = readFileSync(`${folder}${name}.bin`);
    const { from, message } = undescribe(readFileSync(`${folder}${name}.json`, 'utf8'));
    const decoder = new FrameDecoder<HostMessage | WorkerMessage>(
      from === 'host' ? 'worker' : 'host',
      limits,
    );
    assert.deepEqual(decoder.push(bytes), [message]);
    decoder.end();
    const written =
      from === 'host'
        ? encodeHostMessage(message as HostMessage)
        : encodeWorkerMessage(message as WorkerMessage);
    assert.deepEqual(Buffer.concat(written), bytes);
  });
}
