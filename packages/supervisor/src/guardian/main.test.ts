/** A guardian whose command went away before it was told what to run: it ends, and so does the daemon it had prepared. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { onLinux } from '../process/libc.js';
import { until } from '../process/token-census.js';

const main = fileURLToPath(new URL('./main.js', import.meta.url));
const skip = onLinux ? false : 'needs /proc';

function guardian(t: TestContext): { child: ChildProcess; token: string } {
  const token = randomUUID();
  const child = spawn(process.execPath, [main], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: { ...process.env, TOKEN: token },
  });
  t.after(() => bearers(token).forEach((pid) => process.kill(pid, 'SIGKILL')));
  return { child, token };
}

/** Living processes with the token in their environment: the guardian and its daemon. */
function bearers(token: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`TOKEN=${token}`);
      } catch {
        return false;
      }
    })
    .map(Number);
}

test('before it had loaded', { skip, timeout: 60_000 }, async (t) => {
  const { child, token } = guardian(t);
  child.disconnect();
  assert.deepEqual(await once(child, 'exit'), [1, null]);
  assert.deepEqual(bearers(token), []);
});

test('after that', { skip, timeout: 60_000 }, async (t) => {
  const { child, token } = guardian(t);
  await until('its daemon is there', () => bearers(token).length === 2);
  child.disconnect();
  assert.deepEqual(await once(child, 'exit'), [1, null]);
  assert.deepEqual(bearers(token), []);
});

test('with a message that is none', { skip, timeout: 60_000 }, async (t) => {
  const { child, token } = guardian(t);
  child.send({ type: 'stop', reason: 'too early', force: false });
  assert.deepEqual(await once(child, 'exit'), [1, null]);
  assert.deepEqual(bearers(token), []);
});
