/** Experiments of plain commands: no port, trees stopped with their leaders, restarts by policy, an end of their own. */
import assert from 'node:assert/strict';
import { commands, shell } from './harness/experiments.js';
import { portsOf } from './harness/proc.js';
import { scenario } from './harness/scenario.js';
import { until } from './harness/until.js';

scenario('no port is opened', async (box) => {
  const run = box.supervisor(['start', box.write(commands('plain', [shell('one', 'exec sleep 1000')]))]);
  await run.waitFor(/^ready/m, 'stdout');
  assert.deepEqual(
    box.census.take().flatMap(({ pid }) => portsOf(pid)),
    [],
  );
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
});

scenario(
  'when all have ended well the experiment ends with 0, without what their leaders left running',
  async (box) => {
    const leaving = `sleep 1000.${box.token} & (setsid sleep 2000.${box.token} &) ; exit 0`;
    const run = box.supervisor([
      'start',
      box.write(commands('brief', [shell('one', leaving), shell('two', 'true')])),
    ]);
    assert.equal((await run.end()).code, 0);
    await box.assertClean();
  },
);

scenario('when one has failed for good the experiment ends with 1 and says which', async (box) => {
  const failing = commands(
    'failing',
    [shell('good', 'true'), shell('bad', 'echo no such luck >&2; exit 5')],
    {
      supervision: { grace_s: 1, restart: { policy: 'never' } },
    },
  );
  const { code, text } = await box.command(['start', box.write(failing)]);
  assert.equal(code, 1);
  assert.match(text, /bad\/0/);
  assert.match(text, /code 5/);
  assert.match(text, /no such luck/);
  await box.assertClean();
});

/** Each start of the process adds a line to `starts`. */
const counting = (script: string) => shell('counted', `echo start >> starts; ${script}`);

scenario('on-failure: restarted until it ends well', async (box) => {
  const third = counting('[ $(wc -l < starts) -ge 3 ] || exit 1');
  const experiment = commands('third', [third], { supervision: { restart: { backoff_s: 0.01 } } });
  const { code } = await box.command(['start', box.write(experiment)]);
  assert.equal(code, 0);
  assert.equal(box.read('starts'), 'start\n'.repeat(3));
});

scenario('given up after max_restarts', async (box) => {
  const experiment = commands('hopeless', [counting('exit 1')], {
    supervision: { restart: { max_restarts: 2, backoff_s: 0.01 } },
  });
  const { code, text } = await box.command(['start', box.write(experiment)]);
  assert.equal(code, 1);
  assert.match(text, /given up|gave up/i);
  assert.equal(box.read('starts'), 'start\n'.repeat(3));
});

scenario('always: an end with 0 is followed by a restart too', async (box) => {
  const experiment = commands('again', [counting('true')], {
    supervision: { restart: { policy: 'always', max_restarts: 1000, backoff_s: 0.01, max_backoff_s: 0.01 } },
  });
  const run = box.supervisor(['start', box.write(experiment)]);
  await until('four starts', () => box.exists('starts') && box.read('starts').length >= 'start\n'.length * 4);
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
});

scenario('what a failed leader left running is stopped before the restart', async (box) => {
  const leftover = counting(
    `if [ $(wc -l < starts) = 1 ]; then sleep 1000.${box.token} & exit 1; fi; exec sleep 2000.${box.token}`,
  );
  const experiment = commands('leftover', [leftover], {
    supervision: { grace_s: 1, restart: { backoff_s: 0.01 } },
  });
  const run = box.supervisor(['start', box.write(experiment)]);
  await until('the second start', () => box.find(/^sleep 2000/).length === 1);
  assert.deepEqual(box.find(/^sleep 1000/), []);
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
});

scenario('a process waits for the one above it to be ready: by log line, by file, by port', async (box) => {
  const print = `const s = require('net').createServer().listen(0, '127.0.0.1', () => { console.log(s.address().port); s.close(); })`;
  const free = await box.process([process.execPath, '-e', print]).end();
  const port = Number(free.stdout.trim());
  assert.ok(port > 0);
  const listening = `console.log('up'); require('fs').appendFileSync('order', 'port '); require('net').createServer().listen(${port}, '127.0.0.1')`;
  const experiment = commands('ordered', [
    shell('by-log', 'printf "log " >> order; echo now serving; exec sleep 1000', {
      ready: { log: 'now serving' },
    }),
    shell('by-file', 'printf "file " >> order; : > flag; exec sleep 1000', { ready: { file: 'flag' } }),
    { name: 'by-port', command: [process.execPath, '-e', listening], ready: { port } },
    shell('last', 'printf "last" >> order; exec sleep 1000'),
  ]);
  const run = box.supervisor(['start', box.write(experiment)]);
  await run.waitFor(/^ready/m, 'stdout');
  await until('the last process has begun', () => box.read('order').endsWith('last'));
  assert.equal(box.read('order'), 'log file port last');
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
});

scenario('a process that is never ready fails the start', async (box) => {
  const experiment = commands('late', [shell('mute', 'exec sleep 1000', { ready: { log: 'never said' } })], {
    supervision: { grace_s: 1, load_timeout_s: 0.3, restart: { policy: 'never' } },
  });
  const { code, text } = await box.command(['start', box.write(experiment)]);
  assert.equal(code, 1);
  assert.match(text, /mute\/0/);
  assert.match(text, /0\.3 s/);
});

scenario('environment, folder and replicas are as asked for', async (box) => {
  const script = 'echo "$GREETING $PWD $SUPERVISOR_UNIT" >> seen';
  const asked = shell('worker', script, { env: { GREETING: 'hello', NUMBER: 3 }, replicas: 2 });
  assert.equal((await box.command(['start', box.write(commands('asked', [asked]))])).code, 0);
  const lines = box.read('seen').trim().split('\n').sort();
  assert.deepEqual(lines, [`hello ${box.folder} worker/0`, `hello ${box.folder} worker/1`]);
});

scenario('a hundred processes start and stop', async (box) => {
  const many = commands('many', [shell('sleeper', 'exec sleep 1000', { replicas: 100 })]);
  const run = box.supervisor(['start', box.write(many)]);
  await run.waitFor(/^ready/m, 'stdout');
  await until('a hundred of them', () => box.find(/^sleep 1000$/).length === 100);
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
  await box.assertClean();
});
