import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generatedFiles, staleFiles } from './generate.js';
import { experimentTree, type SchemaNode } from './known-keys.js';

test('the generated documents are what the schema says (npm run generate writes them)', () => {
  assert.deepEqual(staleFiles(), []);
});

test('every key has a description, and none is left out of the reference', () => {
  const reference = generatedFiles()['configuration.md'] ?? '';
  const visit = (node: SchemaNode, path: string) => {
    for (const [key, child] of Object.entries(node.properties ?? {})) {
      assert.ok(child.description, `${path}${key} has no description`);
      assert.ok(reference.includes(`- **\`${key}\`**`), `${path}${key} is not in the reference`);
      visit(child, `${path}${key}.`);
      if (child.items) visit(child.items, `${path}${key}[].`);
    }
  };
  visit(experimentTree(), '');
});

test('mappings of the JSON Schema take no unknown keys, except the free-form ones', () => {
  const open: string[] = [];
  const visit = (node: SchemaNode & { additionalProperties?: unknown }, path: string) => {
    if (node.type === 'object' && node.additionalProperties !== false) open.push(path);
    for (const [key, child] of Object.entries(node.properties ?? {})) visit(child, `${path}.${key}`);
    if (node.items) visit(node.items, `${path}[]`);
  };
  visit(experimentTree(), '');
  assert.deepEqual(open, [
    '.model_pool.instances[].env',
    '.model_pool.instances[].config',
    '.processes[].env',
    '.experiment.inputs.dims',
    '.experiment.inputs.files',
  ]);
});
