/** How a command ends badly: a sentence with the remedy, and the exit code. */

export const EXIT = {
  CLEAN: 0,
  ERROR: 1,
  /** Wrong use, or a bad experiment file. */
  USAGE: 2,
  NOT_RUNNING: 3,
  /** Stopped, but something survived. */
  SURVIVORS: 4,
} as const;

export class CommandError extends Error {
  override name = 'CommandError';
  readonly exitCode: number;

  constructor(message: string, exitCode: number = EXIT.ERROR, options: { cause?: unknown } = {}) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** The command line itself is wrong; its help is pointed at. */
export class UsageError extends CommandError {
  override name = 'UsageError';

  constructor(message: string) {
    super(message, EXIT.USAGE);
  }
}
