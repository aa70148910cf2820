/**
 * The experiment file: one schema that is the type, the validation, the defaults, the editors' JSON Schema and the
 * reference page. Keys are snake_case, as in the file. Durations are in seconds unless the key says otherwise.
 */
import { z } from 'zod';
import { crossCheck } from './cross-check.js';
import { NAME_PATTERN, NAME_RULE } from './name.js';

/** Everything an experiment says, defaults filled in. Paths are as written; `loadExperiment` resolves them. */
export type Experiment = z.output<typeof experimentSchema>;
export type ModelInstance = NonNullable<Experiment['model_pool']>['instances'][number];
export type ProcessDefinition = NonNullable<Experiment['processes']>[number];

/** A timer of Node cannot be longer than 24.8 days; a day is far beyond every sensible value here. */
const MAX_SECONDS = 86_400;
const MAX_REPLICAS = 1024;

const named = () => z.string().regex(NAME_PATTERN, NAME_RULE);
const seconds = (min: number) => z.number().min(min).max(MAX_SECONDS);
const port = (min: number) => z.int().min(min).max(65_535);
const text = () =>
  z
    .string()
    .min(1, 'must not be empty')
    .refine((value) => !value.includes('\0'), 'must not hold a NUL character');
/** Numbers and booleans are taken as the text that was written: `[sleep, 60]` and `PORT: 8080` mean what they look like. */
const textual = () => z.union([z.string(), z.number(), z.boolean()]).transform(String);

const environment = () =>
  z
    .record(z.string(), textual())
    .default({})
    .describe(
      'Environment variables added to what the supervisor itself has. Numbers and booleans are taken as written.',
    );
const argv = () => z.array(textual()).min(1, 'must name a program');
const replicas = () => z.int().min(1).max(MAX_REPLICAS).default(1);

export const datatypes = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'BF16',
  'FP32',
  'FP64',
  'BYTES',
] as const;

const DIMENSION_RULE = 'must be 1 or more, or -1 for any size';
const MAX_DIMENSION = 2 ** 31 - 1;
const dimension = () =>
  z
    .int()
    .min(-1, DIMENSION_RULE)
    .max(MAX_DIMENSION)
    .refine((size) => size !== 0, DIMENSION_RULE);

const tensorSchema = z.strictObject({
  name: text().describe('Name of the input.'),
  datatype: z.enum(datatypes).describe('Element type.'),
  shape: z
    .array(dimension())
    .describe('Sizes without the batch dimension; -1 stands for any size.')
    .meta({ examples: [[4], [3, 48, -1]] }),
});

const instanceSchema = z
  .strictObject({
    name: named().describe('Name of the model, as clients call it.'),
    backend: z
      .enum(['onnx', 'identity'])
      .optional()
      .describe(
        'What runs the model: `onnx` (ONNX Runtime) or `identity` (no model; outputs equal inputs). `onnx` where no `command` is given.',
      ),
    command: argv()
      .exactOptional()
      .describe(
        'A worker of your own that speaks the worker protocol: program and arguments, no shell. Instead of `backend`.',
      ),
    path: text()
      .exactOptional()
      .describe(
        'Model file, relative to the folder of the experiment file, or `package:NAME/FILE` for a file carried by an npm package.',
      ),
    device: text()
      .default('cpu')
      .describe('`cpu`, `cuda[:N]`, `tensorrt[:N]`, `webgpu` or `coreml`.')
      .meta({ examples: ['cpu', 'cuda:0'] }),
    fallback_devices: z
      .array(text())
      .default([])
      .describe(
        'Devices to try, in this order, when `device` is not available. Empty: an unavailable device is an error.',
      ),
    replicas: replicas().describe('Worker processes that run this model.'),
    max_batch_size: z
      .int()
      .min(0)
      .max(65_536)
      .default(0)
      .describe(
        'Largest first dimension of a request. 0: the model has no batch dimension, shapes are taken as they are.',
      ),
    inputs: z
      .array(tensorSchema)
      .exactOptional()
      .describe(
        'Inputs of an `identity` model, which has no file to read them from. Output `OUTPUT<i>` equals input i.',
      ),
    delay_ms: z
      .number()
      .min(0)
      .max(600_000)
      .default(0)
      .describe('Time an `identity` model takes for a request, in milliseconds.'),
    intra_op_threads: z
      .int()
      .min(1)
      .max(1024)
      .exactOptional()
      .describe('Threads of ONNX Runtime within one operator. Its own choice when absent.'),
    inter_op_threads: z
      .int()
      .min(1)
      .max(1024)
      .exactOptional()
      .describe('Threads of ONNX Runtime across operators. Its own choice when absent.'),
    graph_optimization_level: z
      .enum(['disabled', 'basic', 'extended', 'all'])
      .default('all')
      .describe('How far ONNX Runtime rewrites the graph when it loads the model.'),
    warmup: z
      .int()
      .min(0)
      .max(1000)
      .default(1)
      .describe('Inferences made before a worker says that it is ready.'),
    env: environment(),
    config: z
      .record(z.string(), z.unknown())
      .default({})
      .describe('Free-form settings handed to a `command` worker when it is greeted.'),
  })
  .transform(({ backend, ...instance }) => ({
    ...instance,
    ...(backend ? { backend } : instance.command ? {} : { backend: 'onnx' as const }),
  }));

const readySchema = z
  .strictObject({
    port: port(1).exactOptional().describe('Ready when this TCP port on 127.0.0.1 accepts a connection.'),
    log: text().exactOptional().describe('Ready when a line of its output matches this regular expression.'),
    file: text().exactOptional().describe('Ready when this file exists, relative to `cwd`.'),
  })
  .transform((ready) => ready as { port: number } | { log: string } | { file: string });

const processSchema = z.strictObject({
  name: named().describe('Name of the process.'),
  command: argv().describe('Program and arguments, no shell. For a shell line: `[sh, -c, "..."]`.'),
  env: environment(),
  cwd: text()
    .exactOptional()
    .describe('Working folder, relative to the folder of the experiment file, which is also the default.'),
  replicas: replicas().describe('How many of them to run.'),
  ready: readySchema
    .exactOptional()
    .describe('When the process counts as ready: exactly one of the three. Absent: as soon as it runs.'),
});

const serverSchema = z.strictObject({
  host: text()
    .default('127.0.0.1')
    .describe(
      'Address to listen on. Everything but loopback is open to the network, without authentication.',
    ),
  grpc_port: port(0)
    .default(50_051)
    .describe('TCP port for gRPC. 0: any free one, shown by `supervisor status`.'),
  max_message_mb: z
    .number()
    .min(0.001)
    .max(2047)
    .default(128)
    .describe('Largest gRPC message accepted or sent, in MiB.'),
  max_queue_size: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(1024)
    .describe('Requests that may wait for one model; more are refused with RESOURCE_EXHAUSTED.'),
});

const restartSchema = z.strictObject({
  policy: z
    .enum(['on-failure', 'always', 'never'])
    .default('on-failure')
    .describe('When a worker or process that ended is started again.'),
  max_restarts: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(5)
    .describe('Restarts within `window_s` after which it is given up.'),
  window_s: seconds(0.001)
    .default(60)
    .describe('Length of the window that `max_restarts` counts in, in seconds.'),
  backoff_s: seconds(0)
    .default(0.5)
    .describe('Wait before the first restart, in seconds; doubles with each further one.'),
  max_backoff_s: seconds(0).default(30).describe('Longest wait before a restart, in seconds.'),
});

const supervisionSchema = z.strictObject({
  grace_s: seconds(0)
    .default(10)
    .describe('Time between SIGTERM and SIGKILL for each process tree, in seconds.'),
  drain_s: seconds(0)
    .default(5)
    .describe('Time that requests in flight get to finish when the experiment stops, in seconds.'),
  load_timeout_s: seconds(0.001)
    .default(120)
    .describe('Time within which a worker or process must be ready, in seconds.'),
  heartbeat_s: seconds(0.01)
    .default(5)
    .describe('Interval between heartbeats, in seconds. A worker that misses three of them is replaced.'),
  spawn_parallel: z
    .int()
    .min(1)
    .max(256)
    .exactOptional()
    .describe(
      'Workers and processes that may load at the same time. Chosen from the number of CPUs when absent.',
    ),
  containment: z
    .enum(['auto', 'subreaper', 'portable'])
    .default('auto')
    .describe(
      'How process trees are held together: `subreaper` (Linux), `portable` (weaker, everywhere), or `auto` for the strongest that works here.',
    ),
  restart: restartSchema.prefault({}).describe('What happens when a worker or process ends.'),
});

const loadInputsSchema = z.strictObject({
  kind: z
    .enum(['random', 'text_lines'])
    .default('random')
    .describe('`random` values, or `text_lines`: pictures of lines of text, for a text recognition model.'),
  seed: z
    .int()
    .min(0)
    .max(MAX_DIMENSION)
    .default(1)
    .describe('Of the random values: the same seed sends the same.'),
  dims: z
    .record(z.string(), z.array(z.int().min(1).max(MAX_DIMENSION)))
    .exactOptional()
    .describe('Sizes of the inputs that the model leaves open, by input name; without the batch dimension.'),
  texts: z
    .array(text())
    .min(1, 'must not be empty')
    .exactOptional()
    .describe('Lines to draw, for `text_lines`.'),
  files: z
    .record(z.string(), text())
    .exactOptional()
    .describe(
      'Files that hold one item of an input, by input name, instead of random values; relative to the folder of the experiment file.',
    ),
});

const loadSchema = z.strictObject({
  model: text().exactOptional().describe('Model that the load goes to; the first when absent.'),
  batch_sizes: z
    .array(z.int().min(1).max(65_536))
    .min(1, 'must not be empty')
    .default([1])
    .describe('Batch sizes to measure, one after another.'),
  concurrency_levels: z
    .array(z.int().min(1).max(4096))
    .min(1, 'must not be empty')
    .default([1])
    .describe('Numbers of requests in flight to measure, for each batch size.'),
  warmup_iterations: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(10)
    .describe('Requests sent before each measurement and not counted.'),
  benchmark_requests: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .exactOptional()
    .describe('Requests per measurement. 100 where `benchmark_duration_s` is not given either.'),
  benchmark_duration_s: seconds(0.001)
    .exactOptional()
    .describe(
      'Length of a measurement, in seconds. With `benchmark_requests` too: whichever is reached first.',
    ),
  repeats: z.int().min(1).max(1000).default(1).describe('How often each measurement is made, interleaved.'),
  inputs: loadInputsSchema.exactOptional().describe('What to send. Random values when absent.'),
});

export const experimentSchema = z
  .strictObject({
    name: named().describe(
      'Name of the experiment; one of a name runs at a time, and `stop`, `status` and `logs` take it.',
    ),
    description: z.string().exactOptional().describe('What it is for, in words.'),
    model_pool: z
      .strictObject({
        routing_strategy: z
          .enum(['round_robin', 'least_loaded'])
          .default('least_loaded')
          .describe('How requests are spread over the replicas of a model.'),
        instances: z.array(instanceSchema).min(1, 'must hold at least one model').describe('The models.'),
      })
      .exactOptional()
      .describe('Models served over gRPC.'),
    processes: z
      .array(processSchema)
      .min(1, 'must hold at least one process')
      .exactOptional()
      .describe('Plain commands supervised beside the models, or alone.'),
    server: serverSchema
      .exactOptional()
      .describe(
        'Where models are served. Only with `model_pool`: an experiment of plain processes opens no port.',
      ),
    supervision: supervisionSchema.prefault({}).describe('How processes are started, watched and stopped.'),
    experiment: loadSchema.exactOptional().describe('Load that `supervisor run` drives and measures.'),
  })
  .superRefine(crossCheck)
  .transform(({ server, ...experiment }) => {
    const listening = experiment.model_pool ? (server ?? serverSchema.parse({})) : undefined;
    return { ...experiment, ...(listening ? { server: listening } : {}) };
  });
