/** Writes the golden frames, or with --check says which of them are not what the code writes. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { encodeHostMessage, encodeWorkerMessage } from '../protocol/index.js';
import { goldenCases } from './cases.js';
import { describe } from './description.js';

const folder = fileURLToPath(new URL('../../golden/', import.meta.url));
const files = new Map<string, Buffer>();
for (const golden of goldenCases) {
  const frame =
    golden.from === 'host' ? encodeHostMessage(golden.message) : encodeWorkerMessage(golden.message);
  files.set(`${golden.name}.bin`, Buffer.concat(frame));
  files.set(`${golden.name}.json`, Buffer.from(describe(golden)));
}

mkdirSync(folder, { recursive: true });
const present = readdirSync(folder);
const stale = present.filter((name) => !files.has(name));
if (process.argv.includes('--check')) {
  const changed = [...files].filter(
    ([name, bytes]) => !present.includes(name) || !readFileSync(folder + name).equals(bytes),
  );
  const wrong = [...changed.map(([name]) => name), ...stale];
  for (const name of wrong) console.error(`golden/${name} is not what the code writes`);
  if (wrong.length > 0) {
    console.error(
      'The wire format is a contract with workers in other languages. If the change is meant: npm run generate.',
    );
    process.exitCode = 1;
  }
} else {
  for (const name of stale) rmSync(folder + name);
  for (const [name, bytes] of files) writeFileSync(folder + name, bytes);
}
