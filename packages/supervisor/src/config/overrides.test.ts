import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyOverride, OverrideError } from './overrides.js';

function values() {
  return {
    name: 'a',
    server: { grpc_port: 1 },
    model_pool: {
      instances: [
        { name: 'ocr', replicas: 1 },
        { name: 'det.v4', replicas: 1 },
      ],
    },
    processes: [{ name: 'p', env: { A: '1' }, command: ['sleep', '1'] }],
  } as Record<string, unknown>;
}

function after(assignment: string): unknown {
  const changed = values();
  applyOverride(changed, assignment);
  return changed;
}

test('values are YAML: numbers, text, lists', () => {
  assert.deepEqual((after('server.grpc_port=2') as { server: unknown }).server, { grpc_port: 2 });
  assert.deepEqual((after('server.host=::1') as { server: unknown }).server, { grpc_port: 1, host: '::1' });
  assert.deepEqual((after('experiment.batch_sizes=[1, 2]') as { experiment: unknown }).experiment, {
    batch_sizes: [1, 2],
  });
  assert.equal((after('name=a=b') as { name: unknown }).name, 'a=b');
  assert.equal((after('name=""') as { name: unknown }).name, '');
});

test('items of a list are found by index and by name, also by one with dots', () => {
  const replicas = (changed: unknown) =>
    (changed as { model_pool: { instances: { replicas: number }[] } }).model_pool.instances.map(
      (item) => item.replicas,
    );
  assert.deepEqual(replicas(after('model_pool.instances.0.replicas=3')), [3, 1]);
  assert.deepEqual(replicas(after('model_pool.instances.ocr.replicas=3')), [3, 1]);
  assert.deepEqual(replicas(after('model_pool.instances.det.v4.replicas=3')), [1, 3]);
});

test('arguments and environment stay text', () => {
  const [definition] = (after('processes.p.env.V=1.10') as { processes: { env: unknown }[] }).processes;
  assert.deepEqual(definition?.env, { A: '1', V: '1.10' });
  const [other] = (after('processes.p.command.1=010') as { processes: { command: unknown }[] }).processes;
  assert.deepEqual(other?.command, ['sleep', '010']);
});

test('null takes a key out', () => {
  assert.deepEqual((after('server.grpc_port=null') as { server: unknown }).server, {});
});

const refused: [assignment: string, flag: string, message: string][] = [
  [
    'server.grpc_port',
    '--set server.grpc_port',
    'has no value; write --set key=value, e.g. --set server.grpc_port=0',
  ],
  ['=1', '--set ', 'has an empty key; write --set a.b.c=value'],
  ['server..port=1', '--set server..port', 'has an empty key; write --set a.b.c=value'],
  ['server.grpc_port=', '--set server.grpc_port', 'has no value; for an empty text write ""'],
  [
    'server.grpc_port=[1',
    '--set server.grpc_port',
    'its value is not valid YAML: Flow sequence must end with a ]',
  ],
  ['name.x=1', '--set name.x', 'name holds a plain value, so nothing can be set below it'],
  [
    'model_pool.instances.2.replicas=1',
    '--set model_pool.instances.2.replicas',
    'model_pool.instances holds 2; counted from 0, there is no 2',
  ],
  [
    'model_pool.instances.rec.replicas=1',
    '--set model_pool.instances.rec.replicas',
    'model_pool.instances has no "rec"; there are ocr, det.v4',
  ],
  ['__proto__.polluted=1', '--set __proto__.polluted', 'cannot set __proto__'],
];

for (const [assignment, flag, message] of refused) {
  test(`refused: --set ${assignment}`, () => {
    assert.throws(
      () => applyOverride(values(), assignment),
      (error) =>
        error instanceof OverrideError && error.flag === flag && (assert.equal(error.message, message), true),
    );
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  });
}
