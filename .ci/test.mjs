// Runs the built tests: `npm test`, or `npm test -- stop --test-name-pattern=SIGHUP` for some of them.
// Words choose the test files whose path contains one of them; options go to `node --test`.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** A file that takes longer hangs: its own waits have shorter limits, each with a message of its own. */
const FILE_LIMIT_MS = 15 * 60_000;
/** End-to-end tests start whole process trees: more at once only makes each slower. */
const MOST_AT_ONCE = 4;

const words = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));
const options = process.argv.slice(2).filter((argument) => argument.startsWith('-'));
const files = testFiles().filter((file) => words.length === 0 || words.some((word) => file.includes(word)));

if (files.length === 0) {
  console.error(
    words.length > 0 ? `No test file matches ${words.join(' or ')}.` : 'No tests found: run `npm run build`.',
  );
  process.exitCode = 1;
} else {
  const atOnce = Math.max(2, Math.min(availableParallelism(), MOST_AT_ONCE));
  const fixed = ['--test', '--enable-source-maps', '--test-reporter=spec', `--test-timeout=${FILE_LIMIT_MS}`];
  const child = spawn(process.execPath, [...fixed, `--test-concurrency=${atOnce}`, ...options, ...files], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  // A terminal sends Ctrl-C to both: the runner ends its files first, and its end is waited for here.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 1;
    if (signal) console.error(`The test runner was ended by ${signal}.`);
  });
}

/** Built test files, relative to the root, long ones first so that none is left running alone at the end. */
function testFiles() {
  const packages = readdirSync(join(root, 'packages')).map((name) => ({
    built: `packages/${name}/dist`,
    source: `packages/${name}/src`,
  }));
  const found = [{ built: 'test/dist', source: 'test' }, ...packages].flatMap(({ built, source }) =>
    filesUnder(join(root, built))
      .filter((path) => path.endsWith('.test.js'))
      // A built file outlives its source when that is renamed or removed: it is not a test any more.
      .filter((path) => existsSync(join(root, source, path.replace(/\.js$/, '.ts'))))
      .map((path) => `${built}/${path}`),
  );
  const isEndToEnd = (file) => file.endsWith('.e2e.test.js');
  return [...found.filter(isEndToEnd).sort(), ...found.filter((file) => !isEndToEnd(file)).sort()];
}

function filesUnder(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true }).map(String);
}
