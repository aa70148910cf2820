/** `kill -9` of each part of the supervisor, alone and together: what is left must go by itself or by the next command. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { fourNumbers, numbersOf } from './harness/client.js';
import { custom, echo, models, shell } from './harness/experiments.js';
import { seeProcess } from './harness/proc.js';
import { statusOf } from './harness/reports.js';
import type { Sandbox } from './harness/sandbox.js';
import { scenario } from './harness/scenario.js';
import { until } from './harness/until.js';

/** Two workers, a plain process, and one that escapes from its session and is deaf to SIGTERM. */
function household(token: string) {
  const escaping = `(setsid env -i sh -c 'trap "" TERM; sleep 1000.${token}' &) ; exec sleep 2000.${token}`;
  return {
    ...models('house', [echo({ replicas: 2 })], { processes: [shell('parent', escaping)] }),
    supervision: { grace_s: 0.5, drain_s: 0.5 },
  };
}

async function settled(box: Sandbox): Promise<void> {
  await until('the escaped process', () => box.find(/^sleep [12]000/).length === 2);
}

scenario('kill -9 of the daemon in the foreground', async (box) => {
  const { run, daemonPid } = await box.start(household(box.token));
  await settled(box);
  process.kill(daemonPid, 'SIGKILL');
  const { code } = await run.end();
  assert.equal(code, 1);
  await box.assertClean();
});

scenario('kill -9 of the daemon when detached', async (box) => {
  const { daemonPid } = await box.startDetached(household(box.token));
  await settled(box);
  process.kill(daemonPid, 'SIGKILL');
  await box.untilEmpty();
  assert.equal((await box.command(['status', 'house'])).code, 3);
  await box.assertClean();
});

scenario('kill -9 of the guardian in the foreground', async (box) => {
  const { run } = await box.start(household(box.token));
  await settled(box);
  run.signal('SIGKILL');
  await box.untilEmpty();
  await box.assertClean();
});

scenario('kill -9 of the guardian when detached', async (box) => {
  const { daemonPid } = await box.startDetached(household(box.token));
  await settled(box);
  process.kill(box.guardianPid(daemonPid), 'SIGKILL');
  await box.untilEmpty();
  await box.assertClean();
});

/** Frozen first, so that neither has a moment in which it sees the other one gone. */
function killTogether(pids: number[]): void {
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  for (const pid of pids) process.kill(pid, 'SIGKILL');
}

for (const command of ['status', 'stop', 'check', 'reap', 'start'] as const) {
  scenario(
    `kill -9 of both at once: models go by themselves, the next ${command} takes the rest`,
    async (box) => {
      const deaf = `trap '' TERM; (setsid sh -c 'sleep 1000.${box.token}' &) ; sleep 2000.${box.token}`;
      const house = {
        ...models('house', [echo({ replicas: 2 })], { processes: [shell('parent', deaf)] }),
        supervision: { grace_s: 0.5, drain_s: 0.5 },
      };
      const { daemonPid } = await box.startDetached(house);
      await settled(box);
      const workers = [...box.units(daemonPid)]
        .filter(([id]) => id.startsWith('echo/'))
        .map(([, { pid }]) => pid);
      assert.equal(workers.length, 2);
      killTogether([box.guardianPid(daemonPid), daemonPid]);
      await until(
        'the model workers have ended',
        () => !box.census.take().some(({ pid }) => workers.includes(pid)),
      );
      assert.equal(box.find(/^sleep/).length, 2, 'the deaf ones wait for the next command');
      if (command === 'start') {
        const again = await box.start(house);
        assert.equal(box.find(/^sleep/).filter(({ ppid }) => ppid === 1).length, 0);
        again.run.signal('SIGTERM');
        assert.equal((await again.run.end()).code, 0);
      } else {
        await box.command(command === 'check' || command === 'reap' ? [command] : [command, 'house']);
      }
      await box.assertClean();
    },
  );
}

scenario('kill -9 of both at each step of a start leaves nothing after the next command', async (box) => {
  const slow = models('slow', [custom('workers/hangs-in-load.mjs', { replicas: 2 })]);
  const steps: [string, () => boolean][] = [
    ['the PID file', () => existsSync(box.state('slow', 'supervisor.pid'))],
    ['a record', () => filesIn(box.state('slow', 'records')) > 0],
    ['a worker', () => box.find(/hangs-in-load/).length > 0],
    ['both workers', () => box.find(/hangs-in-load/).length === 2],
  ];
  for (const [what, reached] of steps) {
    const run = box.supervisor(['start', box.write(slow)]);
    await until(what, reached);
    const daemons = box.census.take().filter(({ ppid }) => ppid === run.pid);
    killTogether([run.pid, ...daemons.map(({ pid }) => pid)]);
    await run.end();
    await box.command(['reap']);
    await box.assertClean();
  }
});

function filesIn(folder: string): number {
  return existsSync(folder) ? readdirSync(folder).length : 0;
}

scenario('kill -9 of the daemon while models load', async (box) => {
  const slow = models('slow', [custom('workers/hangs-in-load.mjs', { replicas: 3 })]);
  const run = box.supervisor(['start', box.write(slow)]);
  await until('a loading worker', () => box.find(/hangs-in-load/).length > 0);
  process.kill(box.daemonPid('slow'), 'SIGKILL');
  assert.equal((await run.end()).code, 1);
  await box.assertClean();
});

scenario('kill -9 of a worker: another takes its place, and the model serves on', async (box) => {
  const quick = { grace_s: 1, drain_s: 1, restart: { backoff_s: 0.05 } };
  const { run, port, daemonPid } = await box.start({
    ...models('pool', [echo({ replicas: 2 })]),
    supervision: quick,
  });
  const killed = box.unit(daemonPid, 'echo/0');
  process.kill(killed.pid, 'SIGKILL');
  await until('a new echo/0', () => {
    const now = box.units(daemonPid).get('echo/0');
    return now !== undefined && now.pid !== killed.pid;
  });
  await until(
    'both replicas are ready',
    async () => (await statusOf(box, 'pool')).models[0]?.readyReplicas === 2,
  );
  const unit = (await statusOf(box, 'pool')).units.find(({ id }) => id === 'echo/0');
  assert.equal(unit?.restarts, 1);
  assert.match(unit?.lastError ?? '', /SIGKILL/);
  assert.deepEqual(numbersOf(await box.client(port).infer('echo', [fourNumbers(3)])), [3, 4, 5, 6]);
  assert.equal(seeProcess(killed.pid)?.state, undefined, 'the dead worker was reaped');
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
  await box.assertClean();
});
