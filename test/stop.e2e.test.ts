/** Every way in which a person ends an experiment, and what must be true afterwards. */
import assert from 'node:assert/strict';
import { commands, custom, echo, models, shell } from './harness/experiments.js';
import { fourNumbers, numbersOf } from './harness/client.js';
import { statusOf } from './harness/reports.js';
import { scenario } from './harness/scenario.js';
import { noTerminal } from './harness/terminal.js';
import { stillRuns } from './harness/proc.js';
import { until } from './harness/until.js';

const pool = models('pool', [echo({ replicas: 2 })], {
  processes: [shell('helper', 'exec sleep 1000')],
});

scenario(
  'Ctrl-C in a terminal',
  async (box) => {
    const terminal = box.terminal(['start', box.write(pool)]);
    const { daemonPid } = await box.ready('pool', terminal);
    assert.equal(box.units(daemonPid).size, 3);
    terminal.ctrlC();
    const { code, text } = await terminal.end();
    assert.equal(code, 0);
    assert.match(text, /stopp/i);
    await box.assertClean();
  },
  { skip: noTerminal },
);

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  scenario(`${signal} to the command in the foreground`, async (box) => {
    const { run } = await box.start(pool);
    run.signal(signal);
    assert.equal((await run.end()).code, 0);
    await box.assertClean();
  });
}

scenario('SIGTERM to the pid in the PID file', async (box) => {
  const { run, daemonPid } = await box.start(pool);
  process.kill(daemonPid, 'SIGTERM');
  assert.equal((await run.end()).code, 0);
  await box.assertClean();
});

scenario(
  'a closed terminal',
  async (box) => {
    const terminal = box.terminal(['start', box.write(pool)]);
    await box.ready('pool', terminal);
    terminal.close();
    await box.untilEmpty();
    await box.assertClean();
  },
  { skip: noTerminal },
);

scenario('stop by name says what was ended, and how', async (box) => {
  const { run, daemonPid } = await box.start(pool);
  const pids = [...box.units(daemonPid).values()].map(({ pid }) => pid);
  const stopped = await box.command(['stop', 'pool']);
  // The command waits for the proof: at its end nothing is left, whoever else still prints.
  assert.equal(stopped.code, 0);
  assert.deepEqual(box.find(/daemon|sleep 1000/), []);
  for (const pid of pids) assert.match(stopped.text, new RegExp(`\\b${pid}\\b`));
  assert.match(stopped.text, /SIGTERM|code 0/);
  assert.equal((await run.end()).code, 0);
  await box.assertClean();
});

scenario('stop by file, and stop without a name when one experiment runs', async (box) => {
  const first = await box.startDetached(pool);
  const byFile = await box.command(['stop', box.write(pool)]);
  assert.equal(byFile.code, 0);
  await box.assertNothingLeft();
  const second = await box.startDetached(pool);
  assert.notEqual(second.daemonPid, first.daemonPid);
  const unnamed = await box.command(['stop']);
  assert.equal(unnamed.code, 0);
  await box.assertClean();
});

scenario('stop --all ends every experiment', async (box) => {
  await box.startDetached(pool);
  await box.startDetached({ ...pool, name: 'other' });
  assert.equal((await box.command(['stop', '--all'])).code, 0);
  await box.assertClean();
});

scenario('stop of what does not run', async (box) => {
  assert.equal((await box.command(['stop', 'nothing'])).code, 3);
});

scenario('SIGHUP to a detached daemon is no reason to stop', async (box) => {
  const { daemonPid, port } = await box.startDetached(pool);
  const guardianPid = box.guardianPid(daemonPid);
  process.kill(daemonPid, 'SIGHUP');
  process.kill(guardianPid, 'SIGHUP');
  // The daemon tells that it took note; both go on.
  await until('SIGHUP in the log', () => /SIGHUP/.test(box.read(`run/supervisor/pool/logs/daemon.log`)));
  const answer = await box.client(port).infer('echo', [fourNumbers(1)]);
  assert.deepEqual(numbersOf(answer), [1, 2, 3, 4]);
  assert.equal(box.guardianPid(daemonPid), guardianPid);
  assert.equal((await box.command(['stop', 'pool'])).code, 0);
  await box.assertClean();
});

scenario(
  'a detached experiment outlives the terminal that started it, and holds no stream of it',
  async (box) => {
    // `end` waits for the end of the output: a daemon that kept it open would be waited for in vain.
    const { daemonPid } = await box.startDetached(pool);
    assert.equal((await box.command(['status', 'pool'])).code, 0);
    process.kill(box.guardianPid(daemonPid), 'SIGTERM');
    await box.untilEmpty();
    await box.assertClean();
  },
);

const stubborn = (token: string) => ({
  ...commands('stubborn', [shell('deaf', `trap '' TERM; sleep 1000.${token}`)]),
  supervision: { grace_s: 0.5 },
});

scenario('what ignores SIGTERM is killed after the grace', async (box) => {
  const run = box.supervisor(['start', box.write(stubborn(box.token))]);
  await run.waitFor(/^ready/m, 'stdout');
  await until('the deaf process', () => box.find(/^sleep/).length === 1);
  const stopped = await box.command(['stop', 'stubborn']);
  assert.equal(stopped.code, 0);
  assert.match(stopped.text, /SIGKILL/);
  assert.equal((await run.end()).code, 0);
  await box.assertClean();
});

scenario('a model worker that ignores SIGTERM, shutdown and the end of its input', async (box) => {
  const deaf = custom('workers/echo.mjs', { config: { ignore_term: true, child: `1000.${box.token}` } });
  const { run } = await box.start({ ...models('deaf', [deaf]), supervision: { grace_s: 0.5, drain_s: 0.5 } });
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
  await box.assertClean();
});

scenario('a second Ctrl-C skips the waiting', async (box) => {
  const patient = { ...stubborn(box.token), supervision: { grace_s: 3600 } };
  const run = box.supervisor(['start', box.write(patient)]);
  await run.waitFor(/^ready/m, 'stdout');
  await until('the deaf process', () => box.find(/^sleep/).length === 1);
  run.signal('SIGINT');
  await run.waitFor(/stopping/i);
  assert.equal(box.find(/^sleep/).length, 1);
  run.signal('SIGINT');
  // An hour of grace is not waited for: the limit of `end` is a minute.
  assert.equal((await run.end()).code, 0);
  await box.assertClean();
});

scenario('descendants that left the session, cleared the environment and were orphaned', async (box) => {
  const escape = `(setsid env -i sh -c 'trap "" TERM; sleep 1000.${box.token}' &) ; (setsid env -i sleep 2000.${box.token} &) ; exec sleep 3000`;
  const escaping = { ...commands('escaping', [shell('parent', escape)]), supervision: { grace_s: 0.5 } };
  const run = box.supervisor(['start', box.write(escaping)]);
  await run.waitFor(/^ready/m, 'stdout');
  await until('all three', () => box.find(/^sleep [123]000/).length === 3);
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
  await box.assertClean();
});

scenario('a stopped process (SIGSTOP) is ended too', async (box) => {
  const run = box.supervisor([
    'start',
    box.write(commands('frozen', [shell('ice', `kill -STOP $$; sleep 1000.${box.token}`)])),
  ]);
  await run.waitFor(/^ready/m, 'stdout');
  await until('the process is stopped', () => box.find(/^sh -c kill/).some(({ state }) => state === 'T'));
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
  await box.assertClean();
});

scenario('a request in flight is answered, a new one is refused, then the port is closed', async (box) => {
  const slow = { ...models('slow', [echo({ delay_ms: 1500 })]), supervision: { grace_s: 2, drain_s: 30 } };
  const { run, port } = await box.start(slow);
  const client = box.client(port);
  const answer = client.infer('echo', [fourNumbers(7)]);
  await until('the request is at the worker', async () =>
    (await statusOf(box, 'slow')).units.some(({ inFlight }) => inFlight === 1),
  );
  run.signal('SIGTERM');
  await run.waitFor(/stopping/i);
  await assert.rejects(box.client(port).infer('echo', [fourNumbers()]), /UNAVAILABLE/);
  assert.deepEqual(numbersOf(await answer), [7, 8, 9, 10]);
  assert.equal((await run.end()).code, 0);
  await box.assertClean();
});

scenario('a request that outlasts the drain is given up', async (box) => {
  const slow = {
    ...models('slow', [echo({ delay_ms: 600_000 })]),
    supervision: { grace_s: 1, drain_s: 0.2 },
  };
  const { run, port } = await box.start(slow);
  const answer = box.client(port).infer('echo', [fourNumbers()]);
  const refused = assert.rejects(answer, /UNAVAILABLE|CANCELLED/);
  await until('the request is at the worker', async () =>
    (await statusOf(box, 'slow')).units.some(({ inFlight }) => inFlight === 1),
  );
  run.signal('SIGTERM');
  await refused;
  assert.equal((await run.end()).code, 0);
  await box.assertClean();
});

scenario('the portable path: process groups, ps and the cookie alone', async (box) => {
  const script = `(setsid sleep 1000.${box.token} &) ; sleep 2000.${box.token} & exec sleep 3000.${box.token}`;
  const run = box.supervisor([
    'start',
    box.write(
      commands('portable', [shell('tree', script)], { supervision: { grace_s: 1, containment: 'portable' } }),
    ),
  ]);
  await run.waitFor(/^ready/m, 'stdout');
  await until('the tree', () => box.find(/^sleep [123]000/).length === 3);
  const { stdout } = await box.command(['status', 'portable']);
  assert.match(stdout, /portable/);
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
  await box.assertClean();
});

scenario('a bystander survives a stop', async (box) => {
  const bystander = box.process(['sleep', '1000']);
  const [seen] = box.find(/^sleep 1000$/);
  const { run } = await box.start(models('pool', [echo()]));
  run.signal('SIGTERM');
  await run.end();
  assert.ok(seen && stillRuns(seen));
  bystander.signal('SIGKILL');
  await bystander.end();
});
