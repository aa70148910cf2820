/** Closed-loop load: so many callers, each sending its next request when the last one was answered. */
import { status, type ServiceError } from '@grpc/grpc-js';
import { setTimeout as sleep } from 'node:timers/promises';
import { InferenceClient, type EncodedRequest, type Endpoint } from './client.js';
import { describeInputs, makeRequests, type InputsConfig } from './inputs/requests.js';
import { median, summarize, type LatencySummary } from './percentiles.js';

export interface LoadOptions {
  endpoint: Endpoint;
  model: string;
  /** Default [1]. */
  batchSizes?: readonly number[] | undefined;
  /** Requests in flight; default [1]. */
  concurrencyLevels?: readonly number[] | undefined;
  /** Requests before each measurement that are not counted; default 10. */
  warmupIterations?: number | undefined;
  /** Per measurement. Default 100 where no duration is given either; with both, whichever is reached first. */
  benchmarkRequests?: number | undefined;
  benchmarkDurationS?: number | undefined;
  /** How often each cell is measured, interleaved: all cells once, then all again. Default 1. */
  repeats?: number | undefined;
  inputs?: InputsConfig | undefined;
  /** For each request; default 60 s. */
  requestTimeoutMs?: number | undefined;
  /** Ends the load at once; what was measured until then is returned with `partial` set. */
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: LoadProgress) => void) | undefined;
}

export interface LoadProgress {
  stage: 'warming up' | 'measuring' | 'measured';
  batchSize: number;
  concurrency: number;
  /** From 1. */
  repeat: number;
  /** Measurements that are complete, and all of them. */
  done: number;
  total: number;
  /** With `measured`. */
  measurement?: Measurement;
}

export interface LoadResults {
  model: string;
  endpoint: string;
  inputs: string;
  /** ISO 8601. */
  startedAt: string;
  finishedAt: string;
  warmupIterations: number;
  benchmarkRequests: number | null;
  benchmarkDurationS: number | null;
  repeats: number;
  /** True when it was ended before all was measured. */
  partial: boolean;
  /** Answered requests, in all cells. */
  requests: number;
  /** Failed ones, in all cells. */
  errors: number;
  cells: CellResult[];
}

export interface CellResult extends Measurement {
  batchSize: number;
  concurrency: number;
  /** Each by itself, in order; one for each repeat that was begun. The rates of the cell are their medians. */
  repeats: Measurement[];
  /** Every latency, in the order of the answers. */
  latenciesMs: number[];
}

export interface Measurement {
  /** Answered requests. */
  requests: number;
  errors: number;
  errorsByStatus: StatusErrors[];
  /** From the first request sent to the last one settled. */
  durationS: number;
  requestsPerS: number;
  /** Requests times batch size. */
  itemsPerS: number;
  /** Null where no request was answered. */
  latencyMs: LatencySummary | null;
  partial: boolean;
}

export interface StatusErrors {
  /** Name of the gRPC status, e.g. `UNAVAILABLE`. */
  status: string;
  count: number;
  firstMessage: string;
}

/** @throws BenchError before the first request where model or inputs do not fit */
export async function runLoad(options: LoadOptions): Promise<LoadResults> {
  const { signal, repeats = 1, warmupIterations = DEFAULT_WARMUP_ITERATIONS } = options;
  const startedAt = new Date();
  const limits = measurementLimits(options);
  using client = new InferenceClient(options.endpoint);
  const cells = await prepareCells(client, options);
  const total = cells.length * repeats;
  let done = 0;
  for (let repeat = 1; repeat <= repeats; repeat++) {
    for (const cell of cells) {
      if (signal?.aborted) break;
      const { batchSize, concurrency } = cell;
      const report = (stage: LoadProgress['stage'], measurement?: Measurement) =>
        options.onProgress?.({
          stage,
          ...{ batchSize, concurrency, repeat, done, total },
          ...(measurement ? { measurement } : {}),
        });
      if (warmupIterations > 0) {
        report('warming up');
        await drive(client, cell, { requests: warmupIterations, durationS: Infinity }, options);
      }
      if (signal?.aborted) break;
      report('measuring');
      const sample = await drive(client, cell, limits, options);
      cell.samples.push(sample);
      if (!sample.partial) done++;
      report('measured', measurementOf([sample], batchSize));
    }
  }
  const results = cells.filter(({ samples }) => samples.length > 0).map(cellResult);
  return {
    model: options.model,
    endpoint: client.address,
    inputs: describeInputs(options.inputs ?? {}),
    startedAt: startedAt.toISOString(),
    finishedAt: new Date().toISOString(),
    warmupIterations,
    benchmarkRequests: Number.isFinite(limits.requests) ? limits.requests : null,
    benchmarkDurationS: Number.isFinite(limits.durationS) ? limits.durationS : null,
    repeats,
    partial: done < total || cells.length === 0,
    requests: results.reduce((sum, { requests }) => sum + requests, 0),
    errors: results.reduce((sum, { errors }) => sum + errors, 0),
    cells: results,
  };
}

const DEFAULT_WARMUP_ITERATIONS = 10;
const DEFAULT_BENCHMARK_REQUESTS = 100;

interface Limits {
  requests: number;
  durationS: number;
}

function measurementLimits({ benchmarkRequests, benchmarkDurationS }: LoadOptions): Limits {
  const unlimited = benchmarkRequests === undefined && benchmarkDurationS === undefined;
  return {
    requests: unlimited ? DEFAULT_BENCHMARK_REQUESTS : (benchmarkRequests ?? Infinity),
    durationS: benchmarkDurationS ?? Infinity,
  };
}

/** One combination of batch size and concurrency. */
interface Cell {
  batchSize: number;
  concurrency: number;
  requests: EncodedRequest[];
  samples: Sample[];
}

/** Asks for the metadata and makes all requests, so that what does not fit is told before anything is measured. */
async function prepareCells(client: InferenceClient, options: LoadOptions): Promise<Cell[]> {
  const { model, signal, batchSizes = [1], concurrencyLevels = [1] } = options;
  let metadata;
  try {
    metadata = await client.modelMetadata(model, { signal });
  } catch (error) {
    if (signal?.aborted) return [];
    throw error;
  }
  return batchSizes.flatMap((batchSize) => {
    const requests = makeRequests(client, metadata, options.inputs ?? {}, batchSize);
    return concurrencyLevels.map((concurrency) => ({ batchSize, concurrency, requests, samples: [] }));
  });
}

/** What one drive yielded. */
interface Sample {
  latenciesMs: number[];
  errors: Map<string, { count: number; firstMessage: string }>;
  durationS: number;
  partial: boolean;
}

/** A server that refuses answers in microseconds: callers that do not wait then would only burn its CPU. */
const PAUSE_AFTER_ERROR_MS = 20;

async function drive(
  client: InferenceClient,
  { concurrency, requests }: Cell,
  limits: Limits,
  { signal, requestTimeoutMs }: LoadOptions,
): Promise<Sample> {
  const sample: Sample = { latenciesMs: [], errors: new Map(), durationS: 0, partial: false };
  const timeout = requestTimeoutMs === undefined ? {} : { timeoutMs: requestTimeoutMs };
  const start = performance.now();
  const end = start + limits.durationS * 1000;
  let sent = 0;
  let settled = 0;
  const call = async (stop: AbortSignal) => {
    while (sent < limits.requests && performance.now() < end && !stop.aborted) {
      const request = requests[sent % requests.length];
      if (!request) return;
      sent++;
      const begin = performance.now();
      try {
        await client.infer(request, { ...timeout, signal: stop });
        sample.latenciesMs.push(performance.now() - begin);
        settled++;
      } catch (error) {
        // What we cancelled ourselves says nothing about the server.
        if (stop.aborted) return;
        settled++;
        countError(sample, error as ServiceError);
        await sleep(PAUSE_AFTER_ERROR_MS, undefined, { signal: stop }).catch(() => undefined);
      }
    }
  };

  // A signal each: thousands of callers on the one that was given would look like a leak of listeners.
  const stops = Array.from({ length: concurrency }, () => new AbortController());
  const stopAll = () => stops.forEach((stop) => stop.abort());
  signal?.addEventListener('abort', stopAll, { once: true });
  if (signal?.aborted) stopAll();
  await Promise.all(stops.map((stop) => call(stop.signal)));
  signal?.removeEventListener('abort', stopAll);

  const now = performance.now();
  sample.durationS = (now - start) / 1000;
  sample.partial = signal?.aborted === true && settled < limits.requests && now < end;
  return sample;
}

function countError({ errors }: Sample, error: ServiceError): void {
  const name = typeof error.code === 'number' ? (status[error.code] ?? String(error.code)) : 'CLIENT_ERROR';
  const known = errors.get(name);
  if (known) known.count++;
  else errors.set(name, { count: 1, firstMessage: error.details ?? error.message });
}

function cellResult({ batchSize, concurrency, samples }: Cell): CellResult {
  const repeats = samples.map((sample) => measurementOf([sample], batchSize));
  return {
    batchSize,
    concurrency,
    ...measurementOf(samples, batchSize),
    requestsPerS: median(repeats.map(({ requestsPerS }) => requestsPerS)),
    itemsPerS: median(repeats.map(({ itemsPerS }) => itemsPerS)),
    repeats,
    latenciesMs: samples.flatMap(({ latenciesMs }) => latenciesMs),
  };
}

function measurementOf(samples: readonly Sample[], batchSize: number): Measurement {
  const latenciesMs = samples.flatMap((sample) => sample.latenciesMs);
  const durationS = samples.reduce((sum, sample) => sum + sample.durationS, 0);
  const errorsByStatus = mergeErrors(samples);
  const requestsPerS = durationS > 0 ? latenciesMs.length / durationS : 0;
  return {
    requests: latenciesMs.length,
    errors: errorsByStatus.reduce((sum, { count }) => sum + count, 0),
    errorsByStatus,
    durationS,
    requestsPerS,
    itemsPerS: requestsPerS * batchSize,
    latencyMs: summarize(latenciesMs),
    partial: samples.some(({ partial }) => partial),
  };
}

function mergeErrors(samples: readonly Sample[]): StatusErrors[] {
  const merged = new Map<string, StatusErrors>();
  for (const [name, { count, firstMessage }] of samples.flatMap(({ errors }) => [...errors])) {
    const known = merged.get(name);
    if (known) known.count += count;
    else merged.set(name, { status: name, count, firstMessage });
  }
  return [...merged.values()];
}
