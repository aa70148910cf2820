/** Every file in `experiments/` is one that the product accepts, and the first two do what they are there for. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './harness/repository.js';
import { scenario } from './harness/scenario.js';

const folder = join(root, 'experiments');
const files = readdirSync(folder).filter((name) => /\.ya?ml$/.test(name));

scenario('there are the quickstart, the pool of the seed, and more', async () => {
  assert.ok(files.includes('01_quickstart.yaml'));
  assert.ok(files.includes('10_multi_model_pool.yaml'));
  assert.ok(files.length >= 4, files.join(', '));
});

for (const file of files) {
  scenario(`validate experiments/${file}`, async (box) => {
    const { code, text } = await box.command(['validate', join(folder, file)]);
    assert.equal(code, 0, text);
  });
}

scenario('the pool of the seed: three replicas start and stop', async (box) => {
  const file = join(folder, '10_multi_model_pool.yaml');
  const run = box.supervisor(['start', file, '--set', 'server.grpc_port=0']);
  await run.waitFor(/ready.*:\d+/, 'stdout');
  const [name = ''] = readdirSync(box.stateRoot);
  assert.equal(box.units(box.daemonPid(name)).size, 3);
  run.signal('SIGINT');
  assert.equal((await run.end()).code, 0);
  await box.assertClean();
});
