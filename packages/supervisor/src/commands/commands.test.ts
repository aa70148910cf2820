import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ControlServer } from '../daemon/control.js';
import type { StatusReport } from '../daemon/status.js';
import { identify } from '../process/identity.js';
import { StateDir } from '../state/directory.js';
import { removePidFile, writePidFile } from '../state/pid-file.js';
import { writeRecord } from '../state/records.js';

const bin = fileURLToPath(new URL('../../../../bin/supervisor', import.meta.url));

function tempFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'commands-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

function supervisor(root: string, ...args: string[]): Promise<Outcome> {
  const env = { ...process.env, NO_COLOR: '1' };
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [bin, ...args, '--state-dir', root],
      { env },
      (_, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}

/** This test process plays the daemon: its PID file, its control socket. */
async function playDaemon(
  t: TestContext,
  root: string,
  name: string,
  report?: Partial<StatusReport>,
): Promise<StateDir> {
  const dir = StateDir.at(root, name);
  await dir.ensure();
  const lock = await dir.lock();
  await writePidFile(dir, 'run-1');
  t.after(async () => {
    await removePidFile(dir, 'run-1');
    await lock?.release();
  });
  if (!report) return dir;
  const full: StatusReport = {
    name,
    pid: process.pid,
    runId: 'run-1',
    state: 'ready',
    startedAt: new Date().toISOString(),
    endpoints: {},
    containment: { tier: 'subreaper', degraded: null },
    units: [],
    models: [],
    ...report,
  };
  const control = await ControlServer.open(dir.controlSocket, () => Promise.resolve(full));
  t.after(() => control.close());
  return dir;
}

const unit = {
  id: 'ocr/0',
  kind: 'worker' as const,
  model: 'ocr',
  state: 'ready',
  pid: 4321,
  restarts: 2,
  uptimeMs: 65_000,
  cpuPercent: 12.5,
  memoryBytes: 100 * 1024 * 1024,
  inFlight: 1,
  completed: 77,
  lastError: null,
  progress: null,
};

test('status: nothing runs, one does not run, one is not a name', async (t) => {
  const root = tempFolder(t);
  assert.deepEqual(await supervisor(root, 'status'), {
    code: 0,
    stdout: 'no experiment is running\n',
    stderr: '',
  });
  assert.deepEqual(await supervisor(root, 'status', '--json'), { code: 0, stdout: '[]\n', stderr: '' });
  assert.deepEqual(await supervisor(root, 'status', 'demo'), {
    code: 3,
    stdout: 'demo is not running\n',
    stderr: '',
  });
  const odd = await supervisor(root, 'status', 'a b');
  assert.deepEqual(odd, {
    code: 2,
    stdout: '',
    stderr: 'supervisor: "a b" is neither the name of an experiment nor a file\n',
  });
});

test('status shows what the daemon reports, as a table and as JSON', async (t) => {
  const root = tempFolder(t);
  await playDaemon(t, root, 'demo', {
    endpoints: { grpc: { host: '127.0.0.1', port: 50051 } },
    units: [unit],
    models: [
      { name: 'ocr', ready: true, replicas: 1, readyReplicas: 1, succeeded: 77, failed: 0, queued: 0 },
    ],
  });
  const { code, stdout } = await supervisor(root, 'status');
  assert.equal(code, 0);
  assert.match(
    stdout,
    /^demo ready, pid \d+, up [\d.]+ s, containment subreaper\n {2}gRPC on 127\.0\.0\.1:50051\n/,
  );
  assert.match(stdout, /^ {2}model ocr: ready, 1 of 1 replica, 77 answered, 0 failed, 0 queued$/m);
  assert.match(stdout, /^ {2}ocr\/0 {2}ready {2}4321 {2}1 min 05 s {2}12\.5 % {2}100 MiB {9}2 {10}1 {4}77$/m);
  const one = JSON.parse((await supervisor(root, 'status', 'demo', '--json')).stdout) as Record<
    string,
    unknown
  >;
  assert.deepEqual([one['running'], one['answering'], one['pid']], [true, true, process.pid]);
  const all = JSON.parse((await supervisor(root, 'status', '--json')).stdout) as unknown[];
  assert.equal(all.length, 1);
});

test('status finds an experiment by its file, also one that is not valid any more', async (t) => {
  const root = tempFolder(t);
  await playDaemon(t, root, 'demo', {});
  const file = join(root, 'exp.yaml');
  writeFileSync(file, 'name: demo\nmodel_pool: 3\n');
  assert.match((await supervisor(root, 'status', file)).stdout, /^demo ready/);
});

test('status of a daemon that does not answer shows what is on record', async (t) => {
  const root = tempFolder(t);
  const dir = await playDaemon(t, root, 'demo');
  const leader = identify(process.pid) ?? assert.fail();
  await writeRecord(dir, {
    unit: 'ocr/0',
    kind: 'worker',
    runId: 'run-1',
    command: ['x'],
    graceMs: 1,
    leader,
  });
  const { code, stdout } = await supervisor(root, 'status', 'demo');
  assert.equal(code, 0);
  assert.match(stdout, /^demo does not answer \(pid \d+\): the daemon does not answer on .*control\.sock/);
  assert.match(stdout, new RegExp(`^ {2}ocr/0 pid ${process.pid}$`, 'm'));
});

test('status --watch goes on until it is interrupted', async (t) => {
  const root = tempFolder(t);
  await playDaemon(t, root, 'demo', {});
  const child = spawn(process.execPath, [bin, 'status', '--watch', '--json', '--state-dir', root]);
  t.after(() => child.kill('SIGKILL'));
  const exited = once(child, 'exit');
  let lines = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    lines += chunk.toString().split('\n').length - 1;
    if (lines >= 2) child.kill('SIGINT');
  });
  assert.deepEqual(await exited, [0, null]);
});

test('commands that mean the running experiment say so where there is none, or more than one', async (t) => {
  const root = tempFolder(t);
  for (const command of ['stop', 'logs']) {
    const { code, stderr } = await supervisor(root, command);
    assert.deepEqual([code, stderr], [3, `supervisor: no experiment is running (state directory ${root})\n`]);
  }
  await playDaemon(t, root, 'one', {});
  await playDaemon(t, root, 'two', {});
  const { code, stderr } = await supervisor(root, 'stop');
  assert.deepEqual(
    [code, stderr],
    [2, 'supervisor: 2 experiments are running; say which: supervisor stop one | two\n'],
  );
});

test('stop of what does not run', async (t) => {
  const root = tempFolder(t);
  assert.deepEqual(await supervisor(root, 'stop', 'demo'), {
    code: 3,
    stdout: '',
    stderr: 'supervisor: demo is not running\n',
  });
  assert.deepEqual(await supervisor(root, 'stop', '--all'), {
    code: 0,
    stdout: 'no experiment is running\n',
    stderr: '',
  });
  const { code, stdout } = await supervisor(root, 'stop', 'demo', '--json');
  assert.equal(code, 3);
  assert.deepEqual(JSON.parse(stdout), { experiment: 'demo', outcome: 'not_running', receipt: null });
});

/** A process that carries the cookie of an experiment and belongs to nobody. */
async function leaveBehind(t: TestContext, dir: StateDir): Promise<number> {
  const cookie = {
    SUPERVISOR_RUN: `${dir.name}:old-run`,
    SUPERVISOR_UNIT: 'ocr/0',
    SUPERVISOR_STATE: dir.path,
  };
  const child = spawn('sleep', ['300'], {
    env: { ...process.env, ...cookie },
    detached: true,
    stdio: 'ignore',
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  return child.pid ?? assert.fail();
}

for (const command of ['check', 'reap']) {
  test(`${command} ends what a dead run left, names it, and then check is clean`, async (t) => {
    const root = tempFolder(t);
    const dir = StateDir.at(root, 'demo');
    await dir.ensure();
    const pid = await leaveBehind(t, dir);
    writeFileSync(dir.pidFile, 'junk\n');

    const cleaned = await supervisor(root, command);
    assert.equal(cleaned.code, 0);
    assert.match(cleaned.stdout, new RegExp(`^cleaned up demo in .*1 process ended, nothing is left$`, 'm'));
    assert.match(cleaned.stdout, new RegExp(`^ +${pid} +ocr/0 `, 'm'));

    const clean = await supervisor(root, 'check', 'processes');
    assert.deepEqual(clean, { code: 0, stdout: 'clean: nothing is left behind\n', stderr: '' });
    assert.deepEqual(await supervisor(root, 'reap'), { code: 0, stdout: 'nothing to reap\n', stderr: '' });
  });
}

test('status cleans up after a run that died', async (t) => {
  const root = tempFolder(t);
  const dir = StateDir.at(root, 'demo');
  await dir.ensure();
  const pid = await leaveBehind(t, dir);
  writeFileSync(dir.pidFile, '99999999\n');
  const { code, stdout, stderr } = await supervisor(root, 'status', 'demo');
  assert.deepEqual([code, stdout], [3, 'demo is not running\n']);
  assert.match(stderr, new RegExp(`cleaned up demo[^]*^ +${pid} +ocr/0 `, 'm'));
});

test('check leaves a running experiment alone and looks whether it holds its port', async (t) => {
  const root = tempFolder(t);
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => new Promise((closed) => server.close(closed)));
  const { port } = server.address() as AddressInfo;
  await playDaemon(t, root, 'good', { endpoints: { grpc: { host: '127.0.0.1', port } } });
  const good = await supervisor(root, 'check', 'ports');
  assert.deepEqual(good, {
    code: 0,
    stdout: `ok ports: good listens on ${port} (pid ${process.pid})\nclean: nothing is left behind\n`,
    stderr: '',
  });
  await playDaemon(t, root, 'bad', { endpoints: { grpc: { host: '127.0.0.1', port: 1 } } });
  const bad = await supervisor(root, 'check', 'ports');
  assert.equal(bad.code, 1);
  assert.match(
    bad.stdout,
    new RegExp(`^WRONG ports: bad should listen on 1 \\(pid ${process.pid}\\), but nobody does$`, 'm'),
  );
});

test('count after compares with count before', async (t) => {
  const root = join(tempFolder(t), 'not-there-yet');
  const none = await supervisor(root, 'count', 'after');
  assert.equal(none.code, 1);
  assert.match(
    none.stderr,
    /^supervisor: there are no counts to compare with \(.*\); run: supervisor count before\n$/,
  );

  const before = await supervisor(root, 'count', 'before');
  assert.equal(before.code, 0);
  assert.match(
    before.stdout,
    /^supervised processes: 0\ndaemons and guardians: 0\ntheir open ports: none\nGPU memory: /,
  );
  const same = await supervisor(root, 'count', 'after');
  assert.equal(same.code, 0);
  assert.match(same.stdout, /^nothing has grown$/m);

  await leaveBehind(t, StateDir.at(root, 'demo'));
  const grown = await supervisor(root, 'count', 'after', '--json');
  assert.equal(grown.code, 1);
  const { grown: lines } = JSON.parse(grown.stdout) as { grown: string[] };
  assert.deepEqual(lines, ['supervised processes: 0 before, 1 after']);
});

test('logs of all units in the order of time, of one unit, and the latest only', async (t) => {
  const root = tempFolder(t);
  const dir = StateDir.at(root, 'demo');
  await dir.ensure();
  const time = (second: number) => `2026-01-02T03:04:0${second}.000Z`;
  writeFileSync(
    join(dir.logsDir, 'daemon.log'),
    `${JSON.stringify({ level: 'info', message: 'starting', timestamp: time(1) })}\n${JSON.stringify({ level: 'warn', message: 'late', timestamp: time(4) })}\n`,
  );
  writeFileSync(
    join(dir.logsDir, 'ocr~0.out.log'),
    `${time(2)} loading\n${time(3)} \u001b[31mred\u001b[0m\n`,
  );
  const all = await supervisor(root, 'logs');
  assert.deepEqual(all, {
    code: 0,
    stdout: `${time(1)} daemon info starting\n${time(2)} ocr/0 loading\n${time(3)} ocr/0 red\n${time(4)} daemon warn late\n`,
    stderr: '',
  });
  assert.equal((await supervisor(root, 'logs', 'demo', '-n', '1')).stdout, `${time(4)} daemon warn late\n`);
  assert.equal(
    (await supervisor(root, 'logs', 'demo', '--worker', 'ocr/0')).stdout,
    `${time(2)} loading\n${time(3)} red\n`,
  );
  assert.equal(
    (await supervisor(root, 'logs', '--worker', 'ocr')).stdout,
    `${time(2)} ocr/0 loading\n${time(3)} ocr/0 red\n`,
  );
  assert.deepEqual(await supervisor(root, 'logs', '--worker', 'det'), {
    code: 2,
    stdout: '',
    stderr: 'supervisor: no worker or process det has logged; there are daemon, ocr/0\n',
  });
});

test('logs -f prints what comes, also from a unit that is new, and ends with the experiment', async (t) => {
  const root = tempFolder(t);
  const dir = await playDaemon(t, root, 'demo');
  writeFileSync(join(dir.logsDir, 'a~0.out.log'), 'old\n');
  const child = spawn(process.execPath, [bin, 'logs', '-f', '--state-dir', root], {
    env: { ...process.env, NO_COLOR: '1' },
  });
  t.after(() => child.kill('SIGKILL'));
  const exited = once(child, 'exit');
  let output = '';
  const until = (text: string) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (!output.includes(text)) return;
        child.stdout.off('data', look);
        resolve();
      };
      child.stdout.on('data', look);
      look();
    });
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await until('a/0 old\n');
  appendFileSync(join(dir.logsDir, 'a~0.out.log'), 'new\n');
  await until('a/0 new\n');
  mkdirSync(dir.logsDir, { recursive: true });
  writeFileSync(join(dir.logsDir, 'b~0.out.log'), 'first\n');
  await until('b/0 first\n');
  appendFileSync(join(dir.logsDir, 'b~0.out.log'), 'last words\n');
  await removePidFile(dir, 'run-1');
  assert.deepEqual(await exited, [0, null]);
  assert.equal(output, 'a/0 old\na/0 new\nb/0 first\nb/0 last words\n');
});
