/** Why a start came to nothing, with the exit code that the command ends with. */

export type StartFailureCode =
  'ALREADY_RUNNING' | 'PORT_IN_USE' | 'LISTEN_FAILED' | 'STATE_DIR_UNUSABLE' | 'UNIT_FAILED' | 'INTERNAL';

export class StartFailure extends Error {
  override name = 'StartFailure';
  readonly code: StartFailureCode;

  constructor(code: StartFailureCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}
