/** What `supervisor run` does between ready and stop: the load that the `experiment:` block of the file describes. */
import { resolve } from 'node:path';
import { BenchError } from './bench-error.js';
import type { Endpoint } from './client.js';
import type { InputsConfig } from './inputs/requests.js';
import { runLoad, type LoadProgress, type LoadResults } from './load.js';

/** The parts of an experiment file that matter here, keys as in the file. */
export interface ExperimentFile {
  name: string;
  model_pool?: { instances: readonly { name: string; max_batch_size?: number | undefined }[] } | undefined;
  experiment?: LoadBlock | undefined;
}

interface LoadBlock {
  /** Default the first model. */
  model?: string | undefined;
  batch_sizes?: readonly number[] | undefined;
  concurrency_levels?: readonly number[] | undefined;
  warmup_iterations?: number | undefined;
  benchmark_requests?: number | undefined;
  benchmark_duration_s?: number | undefined;
  repeats?: number | undefined;
  inputs?: InputsConfig | undefined;
}

export interface DriveOptions {
  endpoint: Endpoint;
  experiment: ExperimentFile;
  /** That `inputs.files` are relative to; default the working folder. */
  baseDir?: string | undefined;
  signal?: AbortSignal | undefined;
  /** One line for people. */
  onProgress?: ((text: string) => void) | undefined;
}

export interface ExperimentResults extends LoadResults {
  /** Of the experiment. */
  name: string;
}

/** @throws BenchError where model or inputs do not fit; an aborted drive yields partial results instead */
export async function driveExperiment(options: DriveOptions): Promise<ExperimentResults> {
  const { endpoint, experiment, baseDir = '.', signal, onProgress } = options;
  const block = experiment.experiment ?? {};
  const model = chooseModel(experiment);
  const files = Object.entries(block.inputs?.files ?? {}).map(([name, file]) => [
    name,
    resolve(baseDir, file),
  ]);
  const results = await runLoad({
    endpoint,
    model,
    batchSizes: block.batch_sizes,
    concurrencyLevels: block.concurrency_levels,
    warmupIterations: block.warmup_iterations,
    benchmarkRequests: block.benchmark_requests,
    benchmarkDurationS: block.benchmark_duration_s,
    repeats: block.repeats,
    inputs: { ...block.inputs, files: Object.fromEntries(files) as Record<string, string> },
    signal,
    onProgress: (progress) => {
      const line = describe(progress);
      if (line) onProgress?.(line);
    },
  });
  return { name: experiment.name, ...results };
}

function chooseModel({ model_pool, experiment }: ExperimentFile): string {
  const instances = model_pool?.instances ?? [];
  const names = instances.map(({ name }) => name);
  const model = experiment?.model ?? names[0];
  const instance = instances.find(({ name }) => name === model);
  if (model === undefined || !instance) {
    throw new BenchError(
      'UNKNOWN_MODEL',
      names.length === 0
        ? 'the experiment serves no model, so there is nothing to send load to'
        : `experiment.model is "${model}"; the models are ${names.join(', ')}`,
    );
  }
  const largest = Math.max(...(experiment?.batch_sizes ?? [1]));
  const { max_batch_size: limit = 0 } = instance;
  if (limit > 0 && largest > limit) {
    throw new BenchError(
      'BATCH_NOT_POSSIBLE',
      `experiment.batch_sizes holds ${largest}, but max_batch_size of model "${model}" is ${limit}`,
    );
  }
  return model;
}

function describe({ stage, batchSize, concurrency, done, total, measurement }: LoadProgress): string | null {
  const cell = `batch ${batchSize}, ${concurrency} caller${concurrency === 1 ? '' : 's'}`;
  switch (stage) {
    case 'warming up':
      return null;
    case 'measuring':
      return `measuring ${done + 1} of ${total}: ${cell}`;
    case 'measured': {
      if (!measurement) return null;
      const { requestsPerS, latencyMs, errors } = measurement;
      const latency = latencyMs
        ? `, p50 ${latencyMs.p50.toFixed(2)} ms, p99 ${latencyMs.p99.toFixed(2)} ms`
        : '';
      return `${cell}: ${requestsPerS.toFixed(1)} requests/s${latency}${errors > 0 ? `, ${errors} errors` : ''}`;
    }
  }
}
