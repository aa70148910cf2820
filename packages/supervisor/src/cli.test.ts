import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { productVersion } from './version.js';

const bin = fileURLToPath(new URL('../../../bin/supervisor', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'cli-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function run(args: string[], o: { node?: string[]; script?: string; env?: Record<string, string> } = {}) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...(o.node ?? []), o.script ?? bin, ...args],
    {
      encoding: 'utf8',
      env: { ...process.env, NO_COLOR: '1', XDG_RUNTIME_DIR: folder, ...o.env },
    },
  );
  return { status, stdout, stderr };
}

test('help lists every command and option, and goes to stdout', () => {
  const { status, stdout, stderr } = run(['--help']);
  assert.equal(status, 0);
  assert.equal(stderr, '');
  for (const word of [
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
    assert.match(stdout, new RegExp(`^  ${word}\\b`, 'm'));
  }
  for (const option of ['--state-dir', '--no-color', '--debug', '--help', '--version'])
    assert.ok(stdout.includes(option));
});

test('a command has its own help', () => {
  const { status, stdout } = run(['stop', '--help']);
  assert.equal(status, 0);
  assert.match(stdout, /^supervisor stop \[name\]/);
  assert.match(stdout, /--all/);
});

test('the version is that of the package', () => {
  assert.deepEqual(run(['--version']), { status: 0, stdout: `${productVersion()}\n`, stderr: '' });
});

test('it runs through a symlink', () => {
  const link = join(folder, 'link-to-supervisor');
  symlinkSync(bin, link);
  assert.equal(run(['--version'], { script: link }).stdout, `${productVersion()}\n`);
});

const misuses: [args: string[], complaint: string][] = [
  [[], 'name a command; see: supervisor --help'],
  [['stpo'], 'there is no such command; did you mean stop?; see: supervisor --help'],
  [['stop', '--al'], 'unknown argument or option: al; see: supervisor stop --help'],
  [['stop', 'a', 'b'], 'unknown argument or option: b; see: supervisor stop --help'],
  [['stop', 'a', '--all'], 'give a name or --all, not both; see: supervisor stop --help'],
  [['validate'], 'an argument is missing; see: supervisor validate --help'],
  [
    ['check', 'disks'],
    'Invalid values: Argument: topic, Given: "disks", Choices: "ports", "processes", "gpu"; see: supervisor check --help',
  ],
  [['status', '--state-dir'], 'Not enough arguments following: state-dir; see: supervisor status --help'],
  [['logs', '-n', 'x'], '-n must be a whole number from 0, not NaN; see: supervisor logs --help'],
  [
    ['status', '--state-dir', 'a', '--state-dir', 'b'],
    '--state-dir is given more than once; see: supervisor status --help',
  ],
];

for (const [args, complaint] of misuses) {
  test(`misuse: supervisor ${args.join(' ')}`, () => {
    assert.deepEqual(run(args), { status: 2, stdout: '', stderr: `supervisor: ${complaint}\n` });
  });
}

test('mistakes in a file are one line each, then a summary; exit code 2', () => {
  const file = join(folder, 'bad.yaml');
  writeFileSync(file, 'name: demo\nprocesses: [{ name: a, comand: [x] }]\n');
  const lines = `${file}:2:13: processes[0].command is missing\n${file}:2:24: unknown key "comand" in processes[0]; did you mean command?\n`;
  assert.deepEqual(run(['validate', file]), { status: 2, stdout: '', stderr: lines });
  assert.deepEqual(run(['stop', join(folder, 'none.yaml')]), {
    status: 2,
    stdout: '',
    stderr: `${folder}/none.yaml: there is no file ${folder}/none.yaml\nsupervisor: there is a mistake in the experiment\n`,
  });
});

test('a stack trace is for those who ask', () => {
  assert.doesNotMatch(run(['stpo']).stderr, /\bat /);
  assert.match(run(['stpo', '--debug']).stderr, /UsageError[^]*\bat /);
  assert.match(run(['stpo'], { env: { DEBUG: '1' } }).stderr, /UsageError[^]*\bat /);
});

test('a reader that goes away early gets no stack trace', () => {
  const { stdout, stderr } = spawnSync(
    'sh',
    ['-c', `"${process.execPath}" "${bin}" schema | head -c 1; wait`],
    { encoding: 'utf8' },
  );
  assert.deepEqual({ stdout, stderr }, { stdout: '{', stderr: '' });
});

test('large output arrives whole', () => {
  const { $schema } = JSON.parse(run(['schema']).stdout) as { $schema: string };
  assert.match($schema, /json-schema\.org/);
});

test('completion scripts for bash and zsh, and the words they ask for', () => {
  assert.match(run(['completion'], { env: { SHELL: '/bin/bash' } }).stdout, /complete .* supervisor$/m);
  assert.match(run(['completion'], { env: { SHELL: '/bin/zsh' } }).stdout, /#compdef supervisor/);
  assert.match(run(['--get-yargs-completions', 'supervisor', 'sta']).stdout, /^status\b/m);
});

test('a checkout that is not built says how to build it', () => {
  const checkout = join(folder, 'checkout');
  mkdirSync(join(checkout, 'bin'), { recursive: true });
  writeFileSync(join(checkout, 'package.json'), '{ "type": "module" }');
  cpSync(bin, join(checkout, 'bin/supervisor'));
  assert.deepEqual(run(['--help'], { script: join(checkout, 'bin/supervisor') }), {
    status: 1,
    stdout: '',
    stderr: 'supervisor: this checkout is not built yet; run: npm ci && npm run build\n',
  });
});

test('an old Node and Windows are refused with a sentence', () => {
  const pretend = (code: string) => ['--import', `data:text/javascript,${encodeURIComponent(code)}`];
  const old = run(['--help'], {
    node: pretend(
      `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.18.0' } })`,
    ),
  });
  assert.equal(old.status, 1);
  assert.match(
    old.stderr,
    /^supervisor: Node 20\.19 or newer is needed, this is v[\d.]+: https:\/\/nodejs\.org\n$/,
  );
  const windows = run(['--help'], {
    node: pretend(`Object.defineProperty(process, 'platform', { value: 'win32' })`),
  });
  assert.equal(windows.status, 1);
  assert.match(
    windows.stderr,
    /^supervisor: Windows is not supported: .* Use Linux \(WSL 2 counts\) or macOS\.\n$/,
  );
});
