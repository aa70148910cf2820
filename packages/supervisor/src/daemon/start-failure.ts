/** Why a start came to nothing. `docs/errors.md` lists the codes. */
export const START_FAILURE_CODES = [
  'ALREADY_RUNNING',
  'PORT_IN_USE',
  'LISTEN_FAILED',
  'STATE_DIR_UNUSABLE',
  'CONTAINMENT',
  'UNIT_FAILED',
  'INTERNAL',
] as const;

export type StartFailureCode = (typeof START_FAILURE_CODES)[number];

export class StartFailure extends Error {
  override name = 'StartFailure';
  readonly code: StartFailureCode;

  constructor(code: StartFailureCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}
