/** What the main thread and the inference thread say to each other. */
import type { Answer, Job, Loaded } from '../backend.js';
import type { LogLevel, WorkerErrorCode } from '../protocol/index.js';

/** A started request cannot be taken back; a revoked one is never started. Both sides change a slot by compare-exchange only. */
export const SLOT_FREE = 0;
export const SLOT_QUEUED = 1;
export const SLOT_STARTED = 2;
export const SLOT_REVOKED = 3;

/** Requests on the thread's side at once: one that runs, one that is there when it ends. */
export const THREAD_DEPTH = 2;

export interface ThreadData {
  /** URL of a module that exports `backend`. */
  module: string;
  worker: string;
  config: Record<string, unknown>;
  /** {@link THREAD_DEPTH} slots. */
  slots: Int32Array;
}

export type ToThread = ({ type: 'job'; slot: number } & Job) | { type: 'close' };

export type FromThread =
  | { type: 'progress'; stage: string; done: number; total: number; unit: 'bytes' | 'steps' }
  | { type: 'log'; level: LogLevel; message: string; fields?: Record<string, unknown> }
  | { type: 'loaded'; loaded: Loaded }
  | { type: 'load-failed'; fault: PlainFault }
  | { type: 'answer'; id: number; answer: Answer }
  | { type: 'failed'; id: number; fault: PlainFault }
  | { type: 'closed' };

/** Class instances lose their class between threads. */
export interface PlainFault {
  code: WorkerErrorCode;
  message: string;
  retryable: boolean;
}
