/** What a worker author writes: something that loads and then answers requests. */
import type { LogLevel, ModelMetadata, RequestParameters, Tensor } from './protocol/index.js';

export interface Backend {
  /**
   * Loads the model. Reject with a WorkerFault to name the reason; its code decides the worker's exit code, and with it
   * whether a restart can help.
   */
  load(context: LoadContext): Promise<LoadedModel>;
}

export interface LoadContext {
  /** Name of this worker, such as `ocr/0`. */
  worker: string;
  /** The backend's settings, as they came in the host's hello. */
  config: Record<string, unknown>;
  /** `total` 0 = unknown. */
  progress: (stage: string, done: number, total: number, unit: 'bytes' | 'steps') => void;
  log: (level: LogLevel, message: string, fields?: Record<string, unknown>) => void;
}

export interface LoadedModel {
  /** Requests are held to it before they reach `infer`: names, datatypes, shapes, byte counts. */
  metadata: ModelMetadata;
  /** Where it really runs, such as `cpu` or `cuda:0`. */
  device: string;
  /** What a person should know, such as a fallback that was taken. */
  notes?: string[];
  /**
   * Answers one request. Outputs are given away: their buffers must not be used again. Reject with a WorkerFault to choose
   * the error's code; anything else is INTERNAL.
   */
  infer(inputs: Tensor[], context: InferContext): Promise<Answer>;
  close?(): Promise<void>;
}

export interface InferContext {
  parameters: RequestParameters;
  /** Aborted when the request is cancelled or its deadline passes; never on a thread, where nothing would hear it. */
  signal: AbortSignal;
}

export interface Answer {
  outputs: Tensor[];
  parameters?: RequestParameters;
}

/** What is known once the model is loaded. */
export interface Loaded {
  metadata: ModelMetadata;
  device: string;
  notes?: string[];
}

/** One accepted request. */
export interface Job {
  id: number;
  inputs: Tensor[];
  parameters: RequestParameters;
}

/** Where a backend runs: on the loop itself, or on a thread. */
export interface Runner {
  /** Calls of `run` that may be unsettled at once. What is beyond waits in the queue. */
  readonly depth: number;
  load(context: LoadContext): Promise<Loaded>;
  run(job: Job): Promise<Answer>;
  /** The request is not wanted any more. True: it had not started and never will; `run` settles even so. */
  revoke(id: number): boolean;
  /** Something is inside of the backend right now. */
  readonly busy: boolean;
  /** Resolves when everything is released. Not to be awaited without a limit: a blocked thread ends when it will. */
  close(): Promise<void>;
}
