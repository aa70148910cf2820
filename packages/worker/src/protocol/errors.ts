/** Everything that can go wrong between a host and a worker: codes, classes, exit codes. docs/protocol.md lists the same. */

export const PROTOCOL_ERROR_CODES = [
  'BAD_MAGIC',
  'BAD_HEADER',
  'BAD_MESSAGE',
  'FRAME_TOO_LARGE',
  'EOF_IN_FRAME',
  'UNEXPECTED_MESSAGE',
  'VERSION',
] as const;
export type ProtocolErrorCode = (typeof PROTOCOL_ERROR_CODES)[number];

/** The stream itself is broken: nothing that follows can be trusted, the connection ends. */
export class ProtocolError extends Error {
  readonly code: ProtocolErrorCode;

  constructor(code: ProtocolErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ProtocolError';
    this.code = code;
  }
}

export const WORKER_ERROR_CODES = [
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'CANCELLED',
  'RESOURCE_EXHAUSTED',
  'UNAVAILABLE',
  'INTERNAL',
  'LOAD_FAILED',
  'MODEL_NOT_FOUND',
  'MODEL_CORRUPT',
  'DEVICE_UNAVAILABLE',
  'CONFIG_INVALID',
  'PROTOCOL',
] as const;
export type WorkerErrorCode = (typeof WORKER_ERROR_CODES)[number];

/** A request, or a whole worker, that failed while the stream is sound. `retryable`: another try, or replica, may succeed. */
export class WorkerFault extends Error {
  readonly code: WorkerErrorCode;
  readonly retryable: boolean;

  constructor(code: WorkerErrorCode, message: string, options?: ErrorOptions & { retryable?: boolean }) {
    super(message, options);
    this.name = 'WorkerFault';
    this.code = code;
    this.retryable = options?.retryable ?? (code === 'UNAVAILABLE' || code === 'RESOURCE_EXHAUSTED');
  }

  /** Any thrown value as a fault; what is not one already is INTERNAL and keeps its message. */
  static from(thrown: unknown): WorkerFault {
    if (thrown instanceof WorkerFault) return thrown;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new WorkerFault('INTERNAL', message, { cause: thrown });
  }
}

/** Exit codes of a worker. CONFIG and PROTOCOL say that a restart cannot help. */
export const WORKER_EXIT = Object.freeze({
  OK: 0,
  /** The device or execution provider is not available, or failed for good. */
  DEVICE: 69,
  /** An error that nothing else names. */
  INTERNAL: 70,
  /** Loading failed; a restart may help. */
  LOAD: 75,
  /** Garbage on the stream, end of input inside a frame, or no version in common. */
  PROTOCOL: 76,
  /** Bad configuration, missing or corrupt model. */
  CONFIG: 78,
  /** The supervisor ended. */
  PARENT_GONE: 79,
});

/** The exit code of a worker that could not go on for this reason. */
export function exitCodeOf(code: WorkerErrorCode): number {
  switch (code) {
    case 'CONFIG_INVALID':
    case 'MODEL_NOT_FOUND':
    case 'MODEL_CORRUPT':
      return WORKER_EXIT.CONFIG;
    case 'DEVICE_UNAVAILABLE':
      return WORKER_EXIT.DEVICE;
    case 'LOAD_FAILED':
    case 'RESOURCE_EXHAUSTED':
    case 'UNAVAILABLE':
      return WORKER_EXIT.LOAD;
    case 'PROTOCOL':
      return WORKER_EXIT.PROTOCOL;
    default:
      return WORKER_EXIT.INTERNAL;
  }
}
