import type { RequestParameters, Tensor } from '@supervisor/worker/protocol';

/** One copy of a model that can be asked, such as a worker process. */
export interface Replica {
  /** Unique among the replicas of its model. */
  readonly id: string;
  readonly inFlight: number;
  readonly inFlightBytes: number;
  readonly capacity: { requests: number; bytes: number };
  /**
   * `deadlineMs`: milliseconds left, 0 = no deadline. Rejects with a `WorkerFault`; after `signal` aborts the
   * answer is not used any more, but the request counts as in flight until the promise settles.
   */
  infer(inputs: Tensor[], options: InferOptions): Promise<InferResult>;
}

export interface InferOptions {
  deadlineMs: number;
  parameters?: RequestParameters;
  signal?: AbortSignal;
}

export interface InferResult {
  outputs: Tensor[];
  parameters?: RequestParameters;
}
