import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { childEnvironment, findDeathSignalSetter, launchPlan } from './launch.js';

const setter = findDeathSignalSetter();
const skip = setter === null ? 'needs setpriv of util-linux 2.33' : false;
const env = { PATH: '/usr/bin:/bin' };

test('a child whose parent is another by then ends with 125', { skip }, () => {
  const { file, args } = launchPlan(['/bin/echo', 'ran'], env, { setter: setter ?? '', signal: 'KILL' });
  const direct = spawnSync(file, args, { encoding: 'utf8', env });
  assert.deepEqual([direct.status, direct.stdout], [0, 'ran\n']);
  // The shell in between is the parent that the plan does not know.
  const strange = spawnSync('/bin/sh', ['-c', '"$@"; exit $?', 'sh', file, ...args], {
    encoding: 'utf8',
    env,
  });
  assert.deepEqual([strange.status, strange.stdout], [125, '']);
});

test('the death signal is set on the command itself', { skip }, () => {
  const program =
    'import ctypes\nn = ctypes.c_int()\nctypes.CDLL(None).prctl(2, ctypes.byref(n))\nprint(n.value)';
  const python = spawnSync('python3', ['-c', program], { encoding: 'utf8' });
  // Without Python there is no other program here that can tell; the end-to-end tests show the effect.
  if (python.status !== 0) return;
  for (const [signal, number] of [
    ['KILL', '9'],
    ['TERM', '15'],
  ] as const) {
    const { file, args } = launchPlan(['python3', '-c', program], env, { setter: setter ?? '', signal });
    assert.equal(spawnSync(file, args, { encoding: 'utf8' }).stdout.trim(), number);
  }
});

test('without a setter the command is run as it is', () => {
  assert.deepEqual(launchPlan(['a', '-b', '$c'], env, null), { file: 'a', args: ['-b', '$c'] });
});

test('no word of the command becomes part of the script', () => {
  const { args } = launchPlan(['$(id)', '; id'], env, { setter: '/x/setpriv', signal: 'TERM' });
  const script = args[args.indexOf('-c') + 1] ?? '';
  assert.equal(script.includes('id'), false);
  assert.deepEqual(args.slice(-2), ['$(id)', '; id']);
});

test('our marks replace those of an experiment around us', () => {
  const cookie = { run: 'a:1', state: '/s/a', unit: 'u/0' };
  const made = childEnvironment(
    { ...env, SUPERVISOR_RUN: 'outer:9', NOTIFY_SOCKET: 'x', WATCHDOG_USEC: '1' },
    cookie,
  );
  assert.deepEqual(made, { ...env, SUPERVISOR_RUN: 'a:1', SUPERVISOR_STATE: '/s/a', SUPERVISOR_UNIT: 'u/0' });
});
