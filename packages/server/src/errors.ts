/**
 * Everything that can go wrong with a request, and the gRPC status each is answered with.
 * docs/errors.md explains the same codes; a test holds the two together.
 */
import { status } from '@grpc/grpc-js';
import { WorkerFault, type WorkerErrorCode } from '@supervisor/worker/protocol';
import { WireError } from './codec/wire.js';

type StatusName = keyof typeof status;

/** Errors of the server itself. */
export const SERVER_ERROR_STATUS = {
  MALFORMED_MESSAGE: 'INVALID_ARGUMENT',
  MODEL_NOT_FOUND: 'NOT_FOUND',
  VERSION_NOT_FOUND: 'NOT_FOUND',
  INPUT_MISSING: 'INVALID_ARGUMENT',
  INPUT_UNKNOWN: 'INVALID_ARGUMENT',
  INPUT_DUPLICATE: 'INVALID_ARGUMENT',
  INPUT_DATA_INVALID: 'INVALID_ARGUMENT',
  DATATYPE_MISMATCH: 'INVALID_ARGUMENT',
  SHAPE_MISMATCH: 'INVALID_ARGUMENT',
  BATCH_SIZE_INVALID: 'INVALID_ARGUMENT',
  BYTE_COUNT_MISMATCH: 'INVALID_ARGUMENT',
  OUTPUT_UNKNOWN: 'INVALID_ARGUMENT',
  OUTPUT_DUPLICATE: 'INVALID_ARGUMENT',
  NOT_SUPPORTED: 'UNIMPLEMENTED',
  REQUEST_TOO_LARGE: 'RESOURCE_EXHAUSTED',
  QUEUE_FULL: 'RESOURCE_EXHAUSTED',
  MODEL_NOT_READY: 'UNAVAILABLE',
  DRAINING: 'UNAVAILABLE',
  SERVER_STOPPED: 'UNAVAILABLE',
  DEADLINE_EXCEEDED: 'DEADLINE_EXCEEDED',
  CANCELLED: 'CANCELLED',
  WORKER_OUTPUT_INVALID: 'INTERNAL',
  INTERNAL: 'INTERNAL',
} as const satisfies Record<string, StatusName>;

/** Errors that a worker answers a request with, or that stand for a worker that was lost with it. */
export const WORKER_ERROR_STATUS = {
  INVALID_ARGUMENT: 'INVALID_ARGUMENT',
  DEADLINE_EXCEEDED: 'DEADLINE_EXCEEDED',
  CANCELLED: 'CANCELLED',
  RESOURCE_EXHAUSTED: 'RESOURCE_EXHAUSTED',
  UNAVAILABLE: 'UNAVAILABLE',
  INTERNAL: 'INTERNAL',
  LOAD_FAILED: 'UNAVAILABLE',
  MODEL_NOT_FOUND: 'FAILED_PRECONDITION',
  MODEL_CORRUPT: 'FAILED_PRECONDITION',
  DEVICE_UNAVAILABLE: 'UNAVAILABLE',
  CONFIG_INVALID: 'FAILED_PRECONDITION',
  PROTOCOL: 'INTERNAL',
} as const satisfies Record<WorkerErrorCode, StatusName>;

export type ServerErrorCode = keyof typeof SERVER_ERROR_STATUS;

/** A request that is refused or that failed. The message says what was found, what was expected and what to do. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
  readonly code: ServerErrorCode;

  constructor(code: ServerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** Any thrown value as one that has a status. What nothing here knows is INTERNAL, its text kept from the caller. */
  static from(thrown: unknown): ServerError | WorkerFault {
    if (thrown instanceof ServerError || thrown instanceof WorkerFault) return thrown;
    if (thrown instanceof WireError) {
      return new ServerError(
        'MALFORMED_MESSAGE',
        `the request is not a message of this method: ${thrown.message}`,
        {
          cause: thrown,
        },
      );
    }
    return new ServerError('INTERNAL', "an unexpected error; the supervisor's log has it", { cause: thrown });
  }
}

/** Statuses travel in headers, and clients drop a call whose headers are larger than a few kilobytes. */
const MAX_DETAILS_CHARACTERS = 1500;

/** What goes over the wire: the code in front, so that programs need not parse the sentence. */
export function toGrpcStatus(error: ServerError | WorkerFault): { code: status; details: string } {
  const name =
    error instanceof ServerError ? SERVER_ERROR_STATUS[error.code] : WORKER_ERROR_STATUS[error.code];
  return { code: status[name], details: headerText(`${error.code}: ${error.message}`) };
}

/** A lone surrogate, as a worker's JSON can hold, would throw where grpc-js percent-encodes the text. */
function headerText(text: string): string {
  const short = text.length > MAX_DETAILS_CHARACTERS ? `${text.slice(0, MAX_DETAILS_CHARACTERS)}...` : text;
  return short.replace(/\p{Surrogate}/gu, '\ufffd');
}
