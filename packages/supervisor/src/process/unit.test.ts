/** Real process trees of every kind that a unit can grow, stopped and proven empty. */
import assert from 'node:assert/strict';
import { exec, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { StateDir } from '../state/directory.js';
import { readRecords } from '../state/records.js';
import { Keeper } from './keeper.js';
import { onLinux } from './libc.js';
import { alive, killAll, newToken, see, until, zombies } from './token-census.js';
import { Unit, type UnitSpec } from './unit.js';

const skip = onLinux ? false : 'needs /proc';
const folder = mkdtempSync(join(tmpdir(), 'sv-unit-'));
const dir = StateDir.at(folder, 'trees');
/** Long enough that no test gets to its end by the grace alone where it should not. */
const LONG_GRACE_MS = 60_000;

let keeper: Keeper;
before(async () => {
  await dir.ensure();
  keeper = await Keeper.open({ stateDir: dir, experiment: 'trees', runId: 'run', containment: 'auto' });
});
after(() => {
  keeper.close();
  rmSync(folder, { recursive: true, force: true });
});

let units = 0;

async function start(
  t: TestContext,
  token: string,
  script: string,
  o: Partial<UnitSpec> = {},
): Promise<Unit> {
  // Registered first: a start that fails halfway must not leave anything either.
  t.after(() => killAll(token));
  const unit = await Unit.spawn(
    {
      id: `tree/${units++}`,
      kind: 'process',
      command: ['/bin/sh', '-c', script, 'sh', token],
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin' },
      cwd: folder,
      graceMs: 0,
      ...o,
    },
    keeper,
  );
  unit.stdout.resume();
  unit.stderr.resume();
  return unit;
}

interface Tree {
  what: string;
  /** `$1` is the token. */
  script: string;
  /** Processes that bear the token once it is grown. */
  size: number;
  /** Ends by SIGTERM alone. */
  obedient: boolean;
}

const trees: Tree[] = [
  { what: 'one that obeys', script: 'exec sleep 1000.$1', size: 1, obedient: true },
  {
    what: 'one that ignores SIGTERM, SIGINT and SIGHUP',
    script: `trap '' TERM INT HUP; sleep 1000.$1; sleep 2000.$1`,
    size: 2,
    obedient: false,
  },
  {
    what: 'children and grandchildren in the group',
    script: `sh -c 'sleep 1000.$1 & sleep 1001.$1 & wait' sh $1 & sleep 1002.$1; wait`,
    size: 5,
    obedient: true,
  },
  {
    what: 'a child in a session of its own',
    script: `setsid sh -c 'trap "" TERM; sleep 1000.$1; sleep 1.$1' sh $1 & sleep 1001.$1`,
    size: 4,
    obedient: false,
  },
  {
    what: 'a double-forked daemon',
    script: `(setsid sh -c 'sleep 1000.$1 & exit 0' sh $1 &); exec sleep 1001.$1`,
    size: 2,
    obedient: true,
  },
  {
    what: 'a stopped process',
    script: `sleep 1000.$1 & kill -STOP $!; sleep 1001.$1`,
    size: 3,
    obedient: true,
  },
  {
    what: 'a stopped leader',
    script: `sleep 1000.$1 & kill -STOP $$; wait`,
    size: 2,
    obedient: true,
  },
  {
    what: 'a shell wrapper',
    script: `sh -c "sh -c 'sleep 1000.$1; :' sh $1; :" sh $1; :`,
    size: 4,
    obedient: true,
  },
  {
    what: 'all descriptors closed',
    script: `(setsid sh -c 'trap "" TERM; sleep 1000.$1; :' sh $1 <&- >&- 2>&- &); exec sleep 1001.$1 <&- >&- 2>&-`,
    size: 3,
    obedient: false,
  },
  {
    what: 'a full stdout pipe',
    script: `trap '' TERM; yes 1000.$1 | cat >/dev/null & yes 1001.$1; :`,
    size: 3,
    obedient: false,
  },
];

for (const { what, script, size, obedient } of trees) {
  test(`stops ${what}`, { skip }, async (t) => {
    const token = newToken();
    const unit = await start(t, token, script);
    await until('the tree is grown', () => alive(token).length >= size);
    const report = await unit.stop({ graceMs: obedient ? LONG_GRACE_MS : 100 });
    assert.deepEqual(alive(token), []);
    assert.deepEqual(report.survivors, []);
    assert.ok(report.processes.length >= size, `${report.processes.length} of ${size} are in the report`);
    const killed = report.processes.filter(({ signals }) => signals.includes('SIGKILL'));
    if (obedient) assert.deepEqual(killed, []);
    else assert.ok(killed.length > 0);
    assert.equal(report.processes.filter(({ foundBy }) => foundBy === 'leader').length, 1);
    await until('all are reaped', () => zombies().length === 0);
  });
}

test('an escaped process that cleared its environment is ended by the sweep', { skip }, async (t) => {
  const token = newToken();
  const daemon = `setsid env -i sh -c "trap '' TERM; sleep 1000.$1; :" sh $1`;
  const unit = await start(t, token, `(${daemon} >/dev/null 2>&1 </dev/null &); exec sleep 1001.$1`);
  await until('the tree is grown', () => alive(token).length >= 3);
  await until('it was orphaned', () =>
    alive(token).some(({ ppid, command }) => ppid === process.pid && command.startsWith('sh')),
  );
  await unit.stop({ graceMs: LONG_GRACE_MS });
  const report = await keeper.sweep({ graceMs: 50 });
  assert.deepEqual(alive(token), []);
  assert.deepEqual(report.survivors, []);
  const shell = report.processes.find(({ command }) => command.startsWith('sh -c'));
  assert.equal(shell?.foundBy, 'adopted');
  assert.deepEqual(shell.signals, ['SIGTERM', 'SIGKILL']);
  assert.deepEqual(shell.exit, { code: null, signal: 'SIGKILL' }, 'we were its parent by then');
});

test(
  'an escaped process that cleared its environment but holds its pipes is ended with its unit',
  { skip },
  async (t) => {
    const token = newToken();
    const unit = await start(t, token, `(setsid env -i sleep 1000.$1 &); exec sleep 1001.$1`);
    await until('it was orphaned', () =>
      alive(token).some(({ ppid, command }) => ppid === process.pid && command.startsWith('sleep 1000')),
    );
    const report = await unit.stop({ graceMs: LONG_GRACE_MS });
    assert.deepEqual(alive(token), []);
    const escaped = report.processes.find(({ command }) => command.startsWith('sleep 1000'));
    assert.deepEqual([escaped?.unit, escaped?.signals], [unit.id, ['SIGTERM']]);
  },
);

test('a leader that exits leaves a child that holds its stdout', { skip }, async (t) => {
  const token = newToken();
  const unit = await start(t, token, `trap '' TERM; sleep 1000.$1 & exit 7`);
  assert.deepEqual(await unit.exited, { code: 7, signal: null });
  await until('the child is there', () => alive(token).some(({ command }) => command.startsWith('sleep')));
  const report = await unit.stop({ graceMs: 50 });
  assert.deepEqual(alive(token), []);
  assert.equal(report.processes[0]?.pid, unit.identity.pid);
  assert.deepEqual(report.processes[0].exit, { code: 7, signal: null });
  assert.equal(report.processes.filter(({ signals }) => signals.includes('SIGKILL')).length, 1);
});

test('a daemon that is forked on SIGTERM gets its own SIGTERM and is waited for', { skip }, async (t) => {
  const token = newToken();
  const last = `trap 'exit 0' TERM; sleep 1000.$1 & wait`;
  const unit = await start(
    t,
    token,
    `trap "setsid sh -c '${last}' sh $1 & exit 0" TERM; sleep 1001.$1 & wait`,
  );
  await until('the trap is set', () => alive(token).length >= 2);
  const report = await unit.stop({ graceMs: LONG_GRACE_MS });
  assert.deepEqual(alive(token), []);
  assert.deepEqual(report.survivors, []);
  assert.deepEqual([...new Set(report.processes.flatMap(({ signals }) => signals))], ['SIGTERM']);
});

for (const [what, again] of [
  ['in its session', 'sh'],
  ['in a new session with a cleared environment each time', 'setsid env -i sh'],
] as const) {
  test(`a chain that forks its successor and exits, ${what}`, { skip }, async (t) => {
    const token = newToken();
    const script = join(folder, `chain-${token}.sh`);
    writeFileSync(
      script,
      `trap '' TERM\nsleep 0.002\n${again} ${script} $1 </dev/null >/dev/null 2>&1 &\nexit 0\n`,
    );
    const unit = await start(t, token, `exec sh ${script} $1`);
    await unit.exited;
    const reports = [await unit.stop({ graceMs: 20 }), await keeper.sweep({ graceMs: 20 })];
    // Whatever were left would go on forking: looked at for long enough that it would show.
    for (let look = 0; look < 20; look++) {
      assert.deepEqual(alive(token), []);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual(
      reports.flatMap(({ survivors }) => survivors),
      [],
    );
  });
}

test('a chain in one group that forks without a pause', { skip }, async (t) => {
  if (spawnSync('python3', ['-c', '']).status !== 0) return t.skip('needs python3');
  const token = newToken();
  // It ends by itself if nobody catches it.
  const chain = `import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
end = time.monotonic() + 30
while time.monotonic() < end:
    if os.fork(): os._exit(0)`;
  const unit = await start(t, token, '', { command: ['python3', '-c', chain, token] });
  await unit.exited;
  const { survivors } = await unit.stop({ graceMs: 20 });
  assert.deepEqual(survivors, []);
  for (let look = 0; look < 20; look++) {
    assert.deepEqual(alive(token), []);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until('all are reaped', () => zombies().length === 0);
});

test('hundreds of processes in one tree', { skip }, async (t) => {
  const token = newToken();
  const unit = await start(
    t,
    token,
    `trap '' TERM; i=0; while [ $i -lt 300 ]; do sleep 1000.$1 & i=$((i+1)); done; wait`,
  );
  await until('all are there', () => alive(token).length === 301);
  const report = await unit.stop({ graceMs: 0 });
  assert.deepEqual(alive(token), []);
  assert.equal(report.processes.length, 301);
  await until('all are reaped', () => zombies().length === 0);
});

test('double forks leave no zombie, and no child of Node loses its exit', { skip }, async (t) => {
  const token = newToken();
  const unit = await start(
    t,
    token,
    `i=0; while [ $i -lt 300 ]; do (setsid sh -c ':' sh $1 &); i=$((i+1)); done; exec sleep 1000.$1`,
  );
  const run = promisify(exec);
  // Behind our back, as libraries do: one kind in our session, one in a session of its own.
  const ofLibraries = Array.from({ length: 60 }, async (_, index) => {
    if (index % 2 === 0)
      return (await run('exit 3').catch((error: { code: number }) => error)) as { code: number };
    const child = spawn('sh', ['-c', 'exit 3'], { detached: true, stdio: 'ignore' });
    return new Promise<{ code: number | null }>((resolve) => child.once('exit', (code) => resolve({ code })));
  });
  for (const { code } of await Promise.all(ofLibraries)) assert.equal(code, 3);
  await until('the leader is done forking', () =>
    alive(token).some(({ command }) => command.startsWith('sleep')),
  );
  await until('only the leader is left', () => alive(token).length === 1);
  await until('all are reaped', () => zombies().length === 0);
  const report = await unit.stop({ graceMs: LONG_GRACE_MS });
  assert.deepEqual(
    report.processes.map(({ exit }) => exit),
    [{ code: null, signal: 'SIGTERM' }],
  );
});

test('a child of a library in this process is nobody to be stopped', { skip }, async (t) => {
  const token = newToken();
  const bystander = spawn('sleep', [`1000.${token}`], { stdio: 'ignore' });
  t.after(() => void bystander.kill('SIGKILL'));
  const report = await keeper.sweep({ graceMs: 0 });
  assert.deepEqual(report.processes, []);
  assert.equal(bystander.exitCode, null);
  assert.equal(see(bystander.pid ?? 0)?.state === 'Z', false);
});

test('a stop is done once, and a later call can cut its grace', { skip }, async (t) => {
  const token = newToken();
  const unit = await start(t, token, `trap '' TERM; sleep 1000.$1; :`);
  await until('the trap is set', () => alive(token).length === 2);
  const first = unit.stop({ graceMs: LONG_GRACE_MS });
  const force = new AbortController();
  const second = unit.stop({ graceMs: LONG_GRACE_MS, force: force.signal });
  force.abort();
  assert.equal(await first, await second);
  assert.deepEqual(alive(token), []);
});

test('the record is there while the tree lives, with who the leader is', { skip }, async (t) => {
  const token = newToken();
  const unit = await start(t, token, 'exec sleep 1000.$1');
  const record = readRecords(dir).find((each) => each.unit === unit.id);
  assert.deepEqual(record?.leader, unit.identity);
  assert.ok((record.pipes ?? []).length > 0);
  await unit.stop({ graceMs: LONG_GRACE_MS });
  assert.deepEqual(readdirSync(dir.recordsDir), []);
});

test('a process whose full record cannot be written does not run', { skip }, async (t) => {
  const token = newToken();
  const broken = StateDir.at(folder, `broken-${token}`);
  await broken.ensure();
  let writes = 0;
  // The disk fills between the intent and the record: the second look at the path leads nowhere.
  const full = new Proxy(broken, {
    get: (target, key): unknown =>
      key === 'recordsDir' && writes++ > 0 ? '/proc/none' : Reflect.get(target, key),
  });
  const other = new Proxy(keeper, {
    get: (target, key) => {
      if (key === 'stateDir') return full;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  t.after(() => killAll(token));
  const spec: UnitSpec = {
    id: 'full/0',
    kind: 'process',
    command: ['/bin/sh', '-c', 'sleep 1000.$1; :', 'sh', token],
    env: { PATH: process.env['PATH'] ?? '' },
    cwd: folder,
    graceMs: 0,
  };
  await assert.rejects(Unit.spawn(spec, other), { code: 'ENOENT' });
  assert.deepEqual(alive(token), []);
  assert.equal((await keeper.census()).length, 0);
});

test('what cannot be spawned leaves no record and says why', { skip }, async () => {
  const spec = { kind: 'process' as const, env: { PATH: '/usr/bin:/bin' }, cwd: folder, graceMs: 0 };
  const nul = Unit.spawn({ ...spec, id: 'nul/0', command: ['/bin/echo', 'a\0b'] }, keeper);
  await assert.rejects(nul, {
    name: 'SpawnError',
    code: 'SPAWN_FAILED',
    message: /cannot start \/bin\/echo: /,
  });
  const missing = Unit.spawn({ ...spec, id: 'missing/0', command: ['no-such-program'] }, keeper);
  await assert.rejects(missing, { name: 'SpawnError', code: 'NOT_FOUND' });
  const huge = Unit.spawn({ ...spec, id: 'huge/0', command: ['/bin/echo', 'x'.repeat(200_000)] }, keeper);
  await assert.rejects(huge, { name: 'SpawnError', code: 'SPAWN_FAILED' });
  assert.deepEqual(readdirSync(dir.recordsDir), []);
});

test(
  'arguments and environment arrive unharmed, our marks are added, private variables are not',
  { skip },
  async () => {
    const args = [
      '',
      ' a  b ',
      `it's "quoted"`,
      'new\nline',
      '--',
      '-n',
      '--pdeathsig',
      '$(id) `id` $HOME \\',
      '*',
      'é漢',
    ];
    const out = join(folder, 'seen');
    const program = join(folder, 'print args.sh');
    writeFileSync(
      program,
      '#!/bin/sh\nout=$OUT; for a; do printf "%s\\0" "$a"; done >"$out.args"; cat /proc/$$/environ >"$out.env"\n',
      { mode: 0o755 },
    );
    const env = {
      PATH: '/usr/bin:/bin',
      OUT: out,
      'odd.name-1': 'kept $(id)\nline',
      NOTIFY_SOCKET: '/run/x',
      NODE_CHANNEL_FD: '9',
      LISTEN_FDS: '1',
    };
    const unit = await Unit.spawn(
      { id: 'args/0', kind: 'process', command: [program, ...args], env, cwd: folder, graceMs: 0 },
      keeper,
    );
    unit.stdout.resume();
    unit.stderr.resume();
    assert.deepEqual(await unit.exited, { code: 0, signal: null });
    await unit.stop({ graceMs: 0 });
    assert.deepEqual(readFileSync(`${out}.args`, 'utf8').split('\0').slice(0, -1), args);
    const seen = new Map(
      readFileSync(`${out}.env`, 'utf8')
        .split('\0')
        .map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)] as const),
    );
    assert.equal(seen.get('odd.name-1'), 'kept $(id)\nline');
    assert.equal(seen.get('SUPERVISOR_RUN'), 'trees:run');
    assert.equal(seen.get('SUPERVISOR_STATE'), dir.path);
    assert.equal(seen.get('SUPERVISOR_UNIT'), 'args/0');
    for (const name of ['NOTIFY_SOCKET', 'NODE_CHANNEL_FD', 'LISTEN_FDS'])
      assert.equal(seen.has(name), false);
  },
);

test('a command without setpriv on its own PATH still starts', { skip }, async (t) => {
  const token = newToken();
  const unit = await start(t, token, 'exec /bin/sleep 1000.$1', { env: { PATH: '/nowhere' } });
  await until('it runs', () => alive(token).some(({ command }) => command.startsWith('/bin/sleep')));
  await unit.stop({ graceMs: LONG_GRACE_MS });
});
