/** The one error class of the package; docs/experiments.md explains each code. */
export const BENCH_ERROR_CODES = [
  'BAD_DIMENSIONS',
  'BAD_INPUT_FILE',
  'BATCH_NOT_POSSIBLE',
  'NOT_A_TEXT_MODEL',
  'OPEN_DIMENSIONS',
  'PROTO_UNREADABLE',
  'RESULTS_NOT_WRITTEN',
  'SERVER_UNREACHABLE',
  'UNDRAWABLE_TEXT',
  'UNKNOWN_INPUT',
  'UNKNOWN_MODEL',
] as const;

export type BenchErrorCode = (typeof BENCH_ERROR_CODES)[number];

export class BenchError extends Error {
  readonly code: BenchErrorCode;

  /** @param message says the actual value and the remedy */
  constructor(code: BenchErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'BenchError';
    this.code = code;
  }
}
