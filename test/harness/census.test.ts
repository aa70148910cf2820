/** The account itself is held to what it must find: a census that overlooks is worse than none. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { Sandbox } from './sandbox.js';
import { until } from './until.js';

async function inSandbox(body: (box: Sandbox) => Promise<void>): Promise<void> {
  const box = new Sandbox();
  try {
    await body(box);
  } finally {
    await box.close();
  }
}

test('a process that cleared its environment, left its session and was orphaned is found and killed', async () => {
  await inSandbox(async (box) => {
    const escape = `cd / && (setsid env -i sleep 1000.${box.token} > /dev/null 2>&1 &)`;
    await box.process(['sh', '-c', escape]).end();
    const [escaped] = await until('the escaped process', () => {
      const found = box.find(/^sleep 1000/);
      return found.length > 0 ? found : null;
    });
    assert.ok(escaped);
    await assert.rejects(box.assertNothingLeft(), /processes left behind[^]*sleep 1000/);
    await box.census.killAll();
    await box.assertNothingLeft();
  });
});

test('a process of somebody else is neither counted nor killed', async () => {
  const stranger = spawn('sleep', ['1000'], { stdio: 'ignore' });
  try {
    await inSandbox(async (box) => {
      assert.deepEqual(box.census.take(), []);
      await box.census.killAll();
    });
    assert.equal(stranger.exitCode ?? stranger.signalCode, null);
  } finally {
    stranger.kill('SIGKILL');
  }
});

test('files that a stop must remove are reported', async () => {
  await inSandbox(async (box) => {
    await box
      .process(['sh', '-c', `mkdir -p '${box.state('x')}' && echo 1 > '${box.state('x', 'supervisor.pid')}'`])
      .end();
    await assert.rejects(box.assertNothingLeft(), /state files left behind[^]*supervisor\.pid/);
  });
});
