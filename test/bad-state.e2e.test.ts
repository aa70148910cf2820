/** State directories, PID files, names and ports that are not as they should be. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commands, echo, models, shell } from './harness/experiments.js';
import { fourNumbers, numbersOf } from './harness/client.js';
import { stillRuns } from './harness/proc.js';
import { bin } from './harness/repository.js';
import type { Sandbox } from './harness/sandbox.js';
import { scenario } from './harness/scenario.js';
import { until } from './harness/until.js';

const sleeper = commands('sleeper', [shell('one', 'exec sleep 1000')]);

async function startSleeper(box: Sandbox) {
  const run = box.supervisor(['start', box.write(sleeper)]);
  await run.waitFor(/^ready/m, 'stdout');
  return { run, daemonPid: box.daemonPid('sleeper') };
}

scenario('a second start is refused, names the running pid, and harms nothing', async (box) => {
  const { run, daemonPid } = await startSleeper(box);
  for (const more of [[], ['--detach']]) {
    const second = await box.command(['start', box.write(sleeper), ...more]);
    assert.equal(second.code, 1);
    assert.match(second.stderr, new RegExp(`\\b${daemonPid}\\b`));
  }
  assert.equal(box.daemonPid('sleeper'), daemonPid);
  assert.equal(box.find(/^sleep 1000$/).length, 1);
  run.signal('SIGTERM');
  assert.equal((await run.end()).code, 0);
  await box.assertClean();
});

scenario('of several starts at the same moment one wins', async (box) => {
  const file = box.write(sleeper);
  const runs = [1, 2, 3, 4].map(() => box.supervisor(['start', file]));
  const losers = await until('three are refused', () => {
    const ended = runs.filter(({ hasEnded }) => hasEnded);
    return ended.length === 3 ? ended : null;
  });
  for (const loser of losers) assert.equal((await loser.end()).code, 1);
  const [winner] = runs.filter(({ hasEnded }) => !hasEnded);
  assert.ok(winner);
  await winner.waitFor(/^ready/m, 'stdout');
  assert.equal(box.find(/^sleep 1000$/).length, 1);
  winner.signal('SIGTERM');
  assert.equal((await winner.end()).code, 0);
  await box.assertClean();
});

scenario('a port in use: its holder is named, nothing is started', async (box) => {
  const listen =
    "const s = require('net').createServer().listen(0, '127.0.0.1', () => console.log(s.address().port))";
  const holder = box.process([process.execPath, '-e', listen]);
  const [port = ''] = await holder.waitFor(/^\d+$/m, 'stdout');
  const wanted = models('pool', [echo()], { server: { grpc_port: Number(port) } });
  const { code, stderr } = await box.command(['start', box.write(wanted)]);
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`\\b${port}\\b`));
  assert.match(stderr, new RegExp(`\\b${holder.pid}\\b`));
  assert.match(stderr, /createServer/);
  holder.signal('SIGKILL');
  await holder.end();
  await box.assertClean();
});

const junk: [string, string][] = [
  ['junk', 'no pid at all\n\0\x01'],
  ['nothing', ''],
  ['a huge number', '99999999999999999999\n'],
  ['a negative number', '-1\n'],
  ['a pid that is not taken', '4194304\n'],
];

for (const [what, content] of junk) {
  scenario(`a PID file that holds ${what}`, async (box) => {
    plantPidFile(box, content);
    assert.equal((await box.command(['status', 'sleeper'])).code, 3);
    plantPidFile(box, content);
    const stopped = await box.command(['stop', 'sleeper']);
    assert.equal(stopped.code, 3, stopped.text);
    plantPidFile(box, content);
    const { run } = await startSleeper(box);
    run.signal('SIGTERM');
    assert.equal((await run.end()).code, 0);
    await box.assertClean();
  });
}

scenario("a PID file with somebody else's pid: nothing is signalled", async (box) => {
  // A true PID file, so that all but the identity is as it should be.
  const { run, daemonPid } = await startSleeper(box);
  const written = readFileSync(box.state('sleeper', 'supervisor.pid'), 'utf8');
  run.signal('SIGTERM');
  await run.end();

  const bystander = box.process(['sleep', '2000']);
  const [seen] = box.find(/^sleep 2000$/);
  assert.ok(seen);
  for (const content of [
    `${bystander.pid}\n`,
    written.replaceAll(String(daemonPid), String(bystander.pid)),
  ]) {
    plantPidFile(box, content);
    assert.equal((await box.command(['stop', 'sleeper'])).code, 3);
    plantPidFile(box, content);
    await box.command(['reap']);
    plantPidFile(box, content);
    const again = await startSleeper(box);
    assert.ok(stillRuns(seen), 'the bystander is alive');
    again.run.signal('SIGTERM');
    assert.equal((await again.run.end()).code, 0);
  }
  assert.ok(stillRuns(seen), 'the bystander is alive');
  bystander.signal('SIGKILL');
  await bystander.end();
});

function plantPidFile(box: Sandbox, content: string): void {
  mkdirSync(box.state('sleeper'), { recursive: true, mode: 0o700 });
  writeFileSync(box.state('sleeper', 'supervisor.pid'), content);
}

scenario('--state-dir elsewhere', async (box) => {
  const elsewhere = join(box.folder, 'elsewhere');
  const run = box.supervisor(['start', box.write(sleeper), '--state-dir', elsewhere]);
  await run.waitFor(/^ready/m, 'stdout');
  assert.ok(existsSync(join(elsewhere, 'sleeper', 'supervisor.pid')));
  assert.equal((await box.command(['stop', 'sleeper'])).code, 3, 'not in the usual place');
  assert.equal((await box.command(['stop', 'sleeper', '--state-dir', elsewhere])).code, 0);
  assert.equal((await run.end()).code, 0);
  assert.ok(!existsSync(join(elsewhere, 'sleeper', 'supervisor.pid')));
});

scenario(
  "one name in two state directories: neither ends, reaps or counts what is the other's",
  async (box) => {
    const deaf = commands('twin', [shell('deaf', `trap '' TERM; sleep 1000.${box.token}`)], {
      supervision: { grace_s: 0.5 },
    });
    const file = box.write(deaf);
    const elsewhere = ['--state-dir', join(box.folder, 'elsewhere')];
    const there = box.supervisor(['start', file, ...elsewhere]);
    await there.waitFor(/^ready/m, 'stdout');
    const theirs = await until('their process', () => box.find(/^sleep 1000/)[0]);

    assert.equal((await box.command(['count', 'before'])).code, 0);
    const here = box.supervisor(['start', file]);
    await here.waitFor(/^ready/m, 'stdout');
    assert.equal((await box.command(['count', 'after'])).code, 1);
    assert.equal((await box.command(['stop', 'twin'])).code, 0);
    assert.equal((await here.end()).code, 0);
    assert.equal((await box.command(['count', 'after'])).code, 0);
    assert.ok(stillRuns(theirs));

    // Without daemon and guardian over there it is a leftover, but not of this directory.
    const pidFile = readFileSync(join(box.folder, 'elsewhere/twin/supervisor.pid'), 'utf8');
    const pids = [there.pid, Number(pidFile.split('\n')[0])];
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await there.end();
    for (const command of [['check'], ['reap'], ['stop', 'twin']]) await box.command(command);
    assert.equal((await box.command(['check'])).code, 0);
    assert.ok(stillRuns(theirs));
    assert.equal((await box.command(['reap', ...elsewhere])).code, 0);
    assert.ok(!stillRuns(theirs));
  },
);

scenario('a state directory that is a file', async (box) => {
  const file = box.file('state', 'I am a file');
  const { code, stderr } = await box.command(['start', box.write(sleeper), '--state-dir', file]);
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(file));
  assert.equal(box.read('state'), 'I am a file');
});

/** The numeric user and group of `nobody`; root may write anywhere, so another user has to try. */
const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'];

const noOtherUser: string | false =
  process.getuid?.() !== 0
    ? false
    : spawnSync(
          nobody[0] ?? '',
          [...nobody.slice(1), process.execPath, '-e', `fs.accessSync(${JSON.stringify(bin)})`],
          { cwd: '/' },
        ).status !== 0
      ? 'needs setpriv, and a checkout that other users can read'
      : false;

scenario(
  'a state directory that cannot be read or written',
  async (box) => {
    const locked = join(box.folder, 'locked');
    mkdirSync(locked, { mode: 0o500 });
    chmodSync(box.folder, 0o755);
    const prefix = process.getuid?.() === 0 ? nobody : [];
    if (prefix.length === 0) chmodSync(locked, 0o000);
    const file = box.write(sleeper);
    const { code, stderr } = await box.command(['start', file, '--state-dir', locked], { prefix });
    assert.equal(code, 1, stderr);
    assert.match(stderr, new RegExp(locked));
    assert.match(stderr, /permission|EACCES/i);
    chmodSync(locked, 0o700);
  },
  { skip: noOtherUser },
);

/** A file system of a few pages that can be filled at once. */
function mountSmall(box: Sandbox): string {
  const folder = join(box.folder, 'small');
  mkdirSync(folder);
  const { status, stderr } = spawnSync(
    'mount',
    ['-t', 'tmpfs', '-o', 'size=256k,mode=700', 'small', folder],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`mount: ${stderr}`);
  box.onClose(async () => {
    await box.census.killAll();
    spawnSync('umount', ['-l', folder]);
  });
  return folder;
}

const noMount: string | false = mountProblem();

function mountProblem(): string | false {
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    return 'needs root, to mount a small file system';
  // In a mount namespace of its own, so that trying leaves nothing.
  const attempt = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt']);
  return attempt.status === 0 ? false : 'may not mount here';
}

function fill(folder: string): void {
  const { status } = spawnSync('sh', ['-c', `cat /dev/zero > '${folder}/filling' 2> /dev/null`]);
  assert.notEqual(status, 0, 'the disk is full');
}

scenario(
  'a full disk at the start',
  async (box) => {
    const small = mountSmall(box);
    fill(small);
    const { code, stderr } = await box.command(['start', box.write(sleeper), '--state-dir', small]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /no space left|ENOSPC/i);
    await box.assertNothingLeft();
    assert.ok(!existsSync(join(small, 'sleeper', 'supervisor.pid')));
  },
  { skip: noMount },
);

scenario(
  'a disk that fills up while models are served: they serve on, and stop without a trace',
  async (box) => {
    const small = mountSmall(box);
    const supervision = { grace_s: 1, drain_s: 1, restart: { backoff_s: 0.01 } };
    const run = box.supervisor([
      'start',
      box.write(models('pool', [echo()], { supervision })),
      '--state-dir',
      small,
    ]);
    const match = await run.waitFor(/ready.*127\.0\.0\.1:(\d+)/, 'stdout');
    fill(small);
    const client = box.client(Number(match[1]));
    assert.deepEqual(numbersOf(await client.infer('echo', [fourNumbers(1)])), [1, 2, 3, 4]);
    const stopped = await box.command(['stop', 'pool', '--state-dir', small]);
    assert.equal(stopped.code, 0, stopped.text);
    assert.equal((await run.end()).code, 0);
    assert.ok(!existsSync(join(small, 'pool', 'supervisor.pid')));
    await box.assertNothingLeft();
  },
  { skip: noMount },
);
