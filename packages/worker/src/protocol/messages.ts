/** Every message of the protocol, and the number that stands for each on the wire. */
import type { WorkerErrorCode } from './errors.js';
import type { ProtocolLimits } from './limits.js';
import type { ModelMetadata, Tensor } from './tensors.js';

export const PROTOCOL_VERSION = 1;

export interface RequestParameters {
  [key: string]: string | number | boolean;
}

/** What the host (the supervisor) says. */
export type HostMessage =
  | {
      type: 'hello';
      /** Versions that the host speaks, both ends included. */
      protocol: { min: number; max: number };
      /** Name of the worker, for logs and process titles, such as `ocr/0`. */
      worker: string;
      limits: ProtocolLimits;
      /** The backend's own settings. */
      config: Record<string, unknown>;
    }
  | {
      type: 'infer';
      /** Chosen by the host, not 0, not in use by another request in flight. */
      id: number;
      /** Milliseconds left for the request when it was sent; 0 = no deadline. */
      deadlineMs: number;
      inputs: Tensor[];
      parameters?: RequestParameters;
    }
  | { type: 'cancel'; id: number }
  | { type: 'ping'; id: number }
  | {
      type: 'shutdown';
      /** How long the worker may go on with what it has accepted. */
      drainMs: number;
    };

/** What a worker says. */
export type WorkerMessage =
  | { type: 'hello'; protocol: number; runtime: string; pid: number }
  | {
      type: 'progress';
      stage: string;
      done: number;
      /** 0 = unknown. */
      total: number;
      unit: 'bytes' | 'steps';
    }
  | {
      type: 'ready';
      model: ModelMetadata;
      device: string;
      /** What a person should know, such as a device fallback that was taken. */
      notes?: string[];
    }
  | { type: 'result'; id: number; outputs: Tensor[]; parameters?: RequestParameters }
  | {
      type: 'error';
      /** The request; 0 = the worker itself, which exits next. */
      id: number;
      code: WorkerErrorCode;
      message: string;
      retryable: boolean;
    }
  | { type: 'pong'; id: number; busy: boolean; completed: number; inFlight: number }
  | { type: 'stats'; rssBytes: number; deviceBytes: Record<string, number> }
  | {
      type: 'log';
      level: LogLevel;
      message: string;
      fields?: Record<string, unknown>;
    };

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Type bytes. Bit 7 says who speaks, so that an echo of one's own frames is seen as what it is. */
export const HOST_TYPES = { hello: 0x01, infer: 0x02, cancel: 0x03, ping: 0x04, shutdown: 0x05 } as const;
export const WORKER_TYPES = {
  hello: 0x81,
  progress: 0x82,
  ready: 0x83,
  result: 0x84,
  error: 0x85,
  pong: 0x86,
  stats: 0x87,
  log: 0x88,
} as const satisfies Record<WorkerMessage['type'], number>;
