import assert from 'node:assert/strict';
import { test } from 'node:test';
import { driveExperiment } from './drive-experiment.js';
import { echo, echoMetadata, FakeServer } from './testing/fake-server.js';

const instances = [{ name: 'echo', max_batch_size: 4 }];

test('the block of the file becomes the load, progress is told in lines', async () => {
  using server = await FakeServer.start(echoMetadata, echo);
  const lines: string[] = [];
  const results = await driveExperiment({
    endpoint: server.endpoint,
    experiment: {
      name: 'pool',
      model_pool: { instances },
      experiment: {
        batch_sizes: [2, 4],
        concurrency_levels: [1],
        warmup_iterations: 1,
        benchmark_requests: 3,
      },
    },
    onProgress: (line) => lines.push(line),
  });
  assert.equal(results.name, 'pool');
  assert.equal(results.model, 'echo');
  assert.equal(results.requests, 6);
  assert.equal(lines.length, 4);
  assert.equal(lines[0], 'measuring 1 of 2: batch 2, 1 caller');
  assert.match(
    lines[1] ?? '',
    /^batch 2, 1 caller: \d+\.\d requests\/s, p50 \d+\.\d\d ms, p99 \d+\.\d\d ms$/,
  );
  assert.equal(lines[2], 'measuring 2 of 2: batch 4, 1 caller');
});

test('without a block the first model gets the defaults', async () => {
  using server = await FakeServer.start(echoMetadata, echo);
  const { requests, benchmarkRequests } = await driveExperiment({
    endpoint: server.endpoint,
    experiment: { name: 'pool', model_pool: { instances } },
  });
  assert.equal(requests, 100);
  assert.equal(benchmarkRequests, 100);
});

const endpoint = { host: '127.0.0.1', port: 1 };

test('a batch size over the limit of the model is refused before a request is sent', async () => {
  const experiment = { name: 'pool', model_pool: { instances }, experiment: { batch_sizes: [1, 8] } };
  await assert.rejects(driveExperiment({ endpoint, experiment }), {
    code: 'BATCH_NOT_POSSIBLE',
    message: 'experiment.batch_sizes holds 8, but max_batch_size of model "echo" is 4',
  });
});

test('a model that the file does not have is refused', async () => {
  const experiment = { name: 'pool', model_pool: { instances }, experiment: { model: 'ocr' } };
  await assert.rejects(driveExperiment({ endpoint, experiment }), {
    code: 'UNKNOWN_MODEL',
    message: 'experiment.model is "ocr"; the models are echo',
  });
});

test('an experiment without models has nothing to drive', async () => {
  await assert.rejects(driveExperiment({ endpoint, experiment: { name: 'plain' } }), {
    code: 'UNKNOWN_MODEL',
  });
});
