/** The end of a call: an answer, or an error as a gRPC status. What should not happen is logged with its cause. */
import type { sendUnaryData } from '@grpc/grpc-js';
import { ServerError, toGrpcStatus } from '../errors.js';

export type Log = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  fields?: Record<string, unknown>,
) => void;

export function answerWith(callback: sendUnaryData<Buffer>, log: Log, answer: () => Buffer): void {
  let bytes: Buffer;
  try {
    bytes = answer();
  } catch (thrown) {
    answerError(callback, log, thrown);
    return;
  }
  callback(null, bytes);
}

export function answerError(callback: sendUnaryData<Buffer>, log: Log, thrown: unknown): void {
  callback(statusOf(thrown, log));
}

export function statusOf(thrown: unknown, log: Log): ReturnType<typeof toGrpcStatus> {
  const error = ServerError.from(thrown);
  if (error.code === 'INTERNAL' || error.code === 'WORKER_OUTPUT_INVALID' || error.code === 'PROTOCOL') {
    const { cause } = error;
    log('error', `a request failed: ${error.message}`, {
      code: error.code,
      ...(cause instanceof Error && { cause: cause.stack ?? cause.message }),
    });
  }
  return toGrpcStatus(error);
}
