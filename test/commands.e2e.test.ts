/** The commands that look: what they say, with which exit code, for people and with --json. */
import assert from 'node:assert/strict';
import { cpSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { commands, echo, models, shell } from './harness/experiments.js';
import { root } from './harness/repository.js';
import { statusOf } from './harness/reports.js';
import { scenario } from './harness/scenario.js';
import { noTerminal } from './harness/terminal.js';
import { until } from './harness/until.js';

const ESCAPE = '\x1b';

scenario('--version, --help and completion', async (box) => {
  const version = await box.command(['--version']);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /\d+\.\d+\.\d+/);
  const help = await box.command(['--help']);
  assert.equal(help.code, 0);
  for (const name of [
    'start',
    'stop',
    'restart',
    'status',
    'logs',
    'run',
    'check',
    'count',
    'reap',
    'validate',
    'schema',
  ]) {
    assert.match(help.stdout, new RegExp(`\\b${name}\\b`));
    const own = await box.command([name, '--help']);
    assert.equal(own.code, 0, own.text);
  }
  const completion = await box.command(['completion']);
  assert.equal(completion.code, 0);
  assert.match(completion.stdout, /complet/);
});

scenario('schema is a JSON Schema, validate accepts a good file', async (box) => {
  const schema = await box.command(['schema']);
  assert.equal(schema.code, 0);
  const { properties } = JSON.parse(schema.stdout) as { properties: Record<string, unknown> };
  for (const key of ['name', 'model_pool', 'processes', 'server', 'supervision', 'experiment'])
    assert.ok(key in properties, key);
  const valid = await box.command(['validate', box.write(models('pool', [echo()]))]);
  assert.equal(valid.code, 0, valid.text);
});

scenario('status tells what runs, and with 3 that what was asked for does not', async (box) => {
  const nothing = await box.command(['status']);
  assert.equal(nothing.code, 0);
  assert.match(nothing.stdout, /no experiment/);
  assert.equal((await box.command(['status', 'pool'])).code, 3);
  const pool = models('pool', [echo({ replicas: 2 })], { processes: [shell('helper', 'exec sleep 1000')] });
  const { daemonPid, port, run } = await box.start(pool);
  const report = await statusOf(box, 'pool');
  assert.equal(report.name, 'pool');
  assert.equal(report.pid, daemonPid);
  assert.equal(report.state, 'ready');
  assert.equal(report.endpoints.grpc?.port, port);
  const units = box.units(daemonPid);
  assert.deepEqual(
    report.units.map(({ id, pid, state }) => ({ id, pid, state })).sort((a, b) => a.id.localeCompare(b.id)),
    ['echo/0', 'echo/1', 'helper/0'].map((id) => ({ id, pid: units.get(id)?.pid, state: 'ready' })),
  );
  const human = await box.command(['status', 'pool']);
  assert.equal(human.code, 0);
  for (const id of ['echo/0', 'echo/1', 'helper/0', String(daemonPid)])
    assert.match(human.stdout, new RegExp(`\\b${id}\\b`));
  assert.ok(!human.text.includes(ESCAPE), 'no colours where nobody sees them');
  run.signal('SIGTERM');
  await run.end();
  assert.equal((await box.command(['status', 'pool'])).code, 3);
});

scenario(
  'NO_COLOR is honoured in a terminal',
  async (box) => {
    box.env['NO_COLOR'] = '1';
    const terminal = box.terminal(['status']);
    const { text } = await terminal.end();
    assert.ok(!/\x1b\[[0-9;]*m/.test(text), JSON.stringify(text));
  },
  { skip: noTerminal },
);

scenario('logs of the daemon and of one worker, also while they grow', async (box) => {
  const chatty = shell(
    'chatty',
    'echo first words; while [ ! -e go ]; do sleep 0.05; done; echo last words >&2; exec sleep 1000',
  );
  const run = box.supervisor(['start', box.write(commands('talk', [chatty]))]);
  await run.waitFor(/^ready/m, 'stdout');
  await until('the first words in the log', async () =>
    /first words/.test((await box.command(['logs', 'talk', '--worker', 'chatty/0'])).stdout),
  );
  const whole = await box.command(['logs', 'talk']);
  assert.equal(whole.code, 0);
  assert.match(whole.stdout, /ready/);
  const following = box.supervisor(['logs', 'talk', '--worker', 'chatty/0', '-f']);
  await following.waitFor(/first words/, 'stdout');
  box.file('go', '');
  await following.waitFor(/last words/, 'stdout');
  following.signal('SIGINT');
  await following.end();
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
  const unknown = await box.command(['logs', 'talk', '--worker', 'nobody/0']);
  assert.notEqual(unknown.code, 0);
});

scenario('check: clean when nothing runs and when all that runs is supervised', async (box) => {
  await box.assertClean();
  const { run } = await box.start(models('pool', [echo()]));
  for (const what of [[], ['ports'], ['processes'], ['gpu']]) {
    const { code, text } = await box.command(['check', ...what]);
    assert.equal(code, 0, text);
    const asJson = await box.command(['check', ...what, '--json']);
    assert.doesNotThrow(() => JSON.parse(asJson.stdout) as unknown, asJson.text);
  }
  run.signal('SIGTERM');
  await run.end();
  await box.assertClean();
});

scenario('count: before and after agree, and do not when something was left running', async (box) => {
  assert.equal((await box.command(['count', 'before'])).code, 0);
  assert.equal((await box.command(['count', 'after'])).code, 0);
  const { run } = await box.start(models('pool', [echo()]));
  const grown = await box.command(['count', 'after']);
  assert.equal(grown.code, 1, grown.text);
  run.signal('SIGTERM');
  await run.end();
  assert.equal((await box.command(['count', 'after'])).code, 0);
});

scenario('reap leaves what is supervised alone', async (box) => {
  const { run, daemonPid } = await box.start(models('pool', [echo()]));
  const worker = box.unit(daemonPid, 'echo/0').pid;
  const { code, text } = await box.command(['reap']);
  assert.equal(code, 0, text);
  assert.equal(box.unit(daemonPid, 'echo/0').pid, worker);
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
});

scenario('restart of one worker, and of the whole experiment with its overrides', async (box) => {
  const { daemonPid } = await box.startDetached(models('pool', [echo()]), [
    '--set',
    'model_pool.instances.0.replicas=2',
  ]);
  const before = box.units(daemonPid);
  assert.deepEqual([...before.keys()].sort(), ['echo/0', 'echo/1']);
  const one = await box.command(['restart', 'pool', '--worker', 'echo/0']);
  assert.equal(one.code, 0, one.text);
  const after = box.units(daemonPid);
  assert.notEqual(after.get('echo/0')?.pid, before.get('echo/0')?.pid);
  assert.equal(after.get('echo/1')?.pid, before.get('echo/1')?.pid);
  const unknown = await box.command(['restart', 'pool', '--worker', 'echo/7']);
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /echo\/7[^]*echo\/0/);

  const whole = await box.command(['restart', 'pool']);
  assert.equal(whole.code, 0, whole.text);
  const again = box.daemonPid('pool');
  assert.notEqual(again, daemonPid);
  assert.deepEqual([...box.units(again).keys()].sort(), ['echo/0', 'echo/1']);
  assert.equal((await box.command(['stop', 'pool'])).code, 0);
  assert.equal((await box.command(['restart', 'pool'])).code, 3);
  await box.assertClean();
});

scenario('a checkout that is not built says so', async (box) => {
  const copy = join(box.folder, 'checkout');
  cpSync(join(root, 'bin'), join(copy, 'bin'), { recursive: true });
  cpSync(join(root, 'package.json'), join(copy, 'package.json'));
  const run = box.process([process.execPath, join(copy, 'bin/supervisor'), '--version']);
  const { code, stderr } = await run.end();
  assert.equal(code, 1);
  assert.match(stderr, /npm (ci|install|run build)/);
  assert.ok(!/\bat .*:\d+:\d+/.test(stderr), 'no stack trace');
});

scenario('a reader that closes its end of the pipe early is no crash', async (box) => {
  const { run } = await box.start(models('pool', [echo()]));
  const piped = box.process([
    'sh',
    '-c',
    `'${process.execPath}' '${join(root, 'bin/supervisor')}' schema | head -c 1`,
  ]);
  const { stderr } = await piped.end();
  assert.equal(stderr, '');
  run.signal('SIGTERM');
  await run.end();
  assert.ok(!existsSync(box.state('pool', 'supervisor.pid')));
});
