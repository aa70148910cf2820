// Runs every generator of the packages; with --check each only compares and fails on a difference.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

const generators = [
  'packages/worker/dist/golden/generate.js',
  'packages/server/dist/generate-descriptors.js',
  'packages/supervisor/dist/config/generate.js',
];

const failed = generators.filter((generator) => !succeeds(generator));
if (failed.length > 0) {
  const remedy = process.argv.includes('--check') ? '; `npm run generate` writes what they should be' : '';
  console.error(`generate: failed: ${failed.join(', ')}${remedy}`);
  process.exitCode = 1;
}

function succeeds(generator) {
  if (!existsSync(join(root, generator))) {
    console.error(`generate: ${generator} is not built: run \`npm run build\``);
    return false;
  }
  const args = [join(root, generator), ...process.argv.slice(2)];
  return (
    spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] }).status === 0
  );
}
