// Installs what is missing and compiles what changed. `npm test` and `npm run quickstart` begin here.
// Plain JavaScript without dependencies: it runs before there are any.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** `engines.node` of package.json, as [major, minor]. */
const OLDEST_NODE = [20, 19];
/** A setup that holds the lock longer than this is not waited for: it hangs. */
const LOCK_LIMIT_MS = 15 * 60_000;

refuseUnsupported();
const unlock = lock();
try {
  install();
  compile();
} finally {
  unlock();
}

function refuseUnsupported() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_NODE;
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    fail(
      `Node ${OLDEST_NODE.join('.')} or newer is needed, this is ${process.version}: https://nodejs.org/en/download`,
    );
  }
  if (process.platform === 'win32') {
    fail('Windows is not supported: a process tree cannot be kept there. Use Linux (WSL 2 counts) or macOS.');
  }
}

function install() {
  const why = reasonToInstall();
  if (!why) return;
  console.log(`setup: npm ci (${why})`);
  // From inside `npm run`, the same npm that the user called.
  const npm = process.env.npm_execpath?.endsWith('.js')
    ? [process.execPath, process.env.npm_execpath]
    : ['npm'];
  const quiet = ['--no-audit', '--no-fund', '--no-progress', '--loglevel=error'];
  run(
    [...npm, 'ci', ...quiet],
    'npm ci failed: see its message above; it needs the npm registry and nothing else.',
  );
}

/** What was installed is compared package by package with what is wanted, so a lock file touched by git costs nothing. */
function reasonToInstall() {
  const installed = readPackages('node_modules/.package-lock.json');
  if (!installed) return 'nothing is installed';
  for (const [path, wanted] of Object.entries(readPackages('package-lock.json') ?? {})) {
    // Optional ones are left out where the platform does not need them.
    if (!path.includes('node_modules/') || wanted.optional || wanted.devOptional) continue;
    const found = installed[path];
    if (!found || !existsSync(join(root, path))) return `${path} is missing`;
    if (found.version !== wanted.version || found.integrity !== wanted.integrity) return `${path} changed`;
  }
  return null;
}

function readPackages(path) {
  try {
    return JSON.parse(readFileSync(join(root, path), 'utf8')).packages;
  } catch {
    return null;
  }
}

function compile() {
  const started = performance.now();
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  run([process.execPath, tsc, '-b'], 'The build failed: see the compiler errors above.');
  const seconds = (performance.now() - started) / 1000;
  if (seconds > 3) console.log(`setup: built in ${seconds.toFixed(0)} s`);
}

function run([command, ...args], failure) {
  const { status, error, signal } = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (error) fail(`${command} could not be started: ${error.message}`);
  if (signal) fail(`${command} was ended by ${signal}.`);
  if (status !== 0) fail(failure);
}

/** One setup of a checkout at a time: two `npm ci` at once delete each other's files. Returns the unlock function. */
function lock() {
  const file = join(tmpdir(), `setup-${createHash('sha256').update(root).digest('hex').slice(0, 16)}.lock`);
  const deadline = Date.now() + LOCK_LIMIT_MS;
  let announced = false;
  for (;;) {
    try {
      const fd = openSync(file, 'wx');
      writeSync(fd, String(process.pid));
      closeSync(fd);
      const unlock = () => rmSync(file, { force: true });
      process.once('exit', unlock);
      return unlock;
    } catch (error) {
      if (error.code !== 'EEXIST') fail(`The lock ${file} cannot be made: ${error.message}`);
    }
    if (!isHeld(file)) {
      rmSync(file, { force: true });
      continue;
    }
    if (Date.now() > deadline) fail(`Another setup holds ${file} for too long; end it, or remove the file.`);
    if (!announced) console.log('setup: waiting for another setup of this checkout');
    announced = true;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  }
}

function isHeld(file) {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    // Between its creation and the writing of the pid the file is empty for a moment.
    if (!pid) return Date.now() - statSync(file).mtimeMs < 5000;
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function fail(message) {
  console.error(`setup: ${message}`);
  process.exitCode = 1;
  process.exit();
}
