/** Writes what is made from the schema: `node dist/config/generate.js`; with `--check` it only compares. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { experimentJsonSchema } from './json-schema.js';
import { configurationReference } from './reference.js';

const docs = new URL('../../../../docs/', import.meta.url);

/** File name below `docs/` -> content. */
export function generatedFiles(): Record<string, string> {
  return { 'configuration.md': configurationReference(), 'experiment.schema.json': experimentJsonSchema() };
}

/** Names of the files that differ from what they should be. */
export function staleFiles(): string[] {
  return Object.entries(generatedFiles())
    .filter(([name, content]) => readOptional(new URL(name, docs)) !== content)
    .map(([name]) => `docs/${name}`);
}

function readOptional(url: URL): string | undefined {
  try {
    return readFileSync(url, 'utf8');
  } catch {
    return undefined;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const stale = staleFiles();
  if (!process.argv.includes('--check')) {
    for (const [name, content] of Object.entries(generatedFiles()))
      writeFileSync(new URL(name, docs), content);
  } else if (stale.length > 0) {
    process.stderr.write(`not as the schema says: ${stale.join(', ')}; run: npm run generate\n`);
    process.exitCode = 1;
  }
}
