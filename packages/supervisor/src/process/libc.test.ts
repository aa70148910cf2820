/** A process group that is signalled through its leader's descriptor. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { release } from 'node:os';
import { test } from 'node:test';
import { onLinux, openPidfd, signalPidfdGroup } from './libc.js';
import { alive, killAll, newToken, until } from './token-census.js';

const [major = 0, minor = 0] = release().split('.').map(Number);
const skip = onLinux && (major > 6 || (major === 6 && minor >= 9)) ? false : 'needs Linux 6.9';

test('a group is ended as a whole after its leader is gone, and nobody else', { skip }, async (t) => {
  const token = newToken();
  t.after(() => killAll(token));
  const script = `sleep 1000.$1 & sleep 1001.$1 & setsid sleep 2000.$1 & read line`;
  const leader = spawn('/bin/sh', ['-c', script, 'sh', token], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const fd = openPidfd(leader.pid ?? 0);
  assert.ok(typeof fd === 'number');
  t.after(() => closeSync(fd));
  const sleepers = () => alive(token).filter(({ command }) => command.startsWith('sleep'));
  await until('they sleep', () => sleepers().length === 3);
  leader.stdin?.end('\n');
  await once(leader, 'exit');
  assert.equal(signalPidfdGroup(fd, 'SIGKILL'), true);
  await until('the group is gone', () => sleepers().length === 1);
  assert.match(sleepers()[0]?.command ?? '', /^sleep 2000/);
});
