/** Everything that is wrong with an experiment, in one error. */

export interface ConfigProblem {
  /** The experiment file as the user named it, or the `--set` flag with its key. */
  file: string;
  /** From 1; 0 where there is no text to point at. */
  line: number;
  col: number;
  /** What is wrong and what was meant. */
  message: string;
}

export class ConfigError extends Error {
  override name = 'ConfigError';
  readonly code = 'CONFIG_INVALID';
  readonly exitCode = 2;
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], options: { cause?: unknown } = {}) {
    super(problems.map(formatProblem).join('\n'), options);
    this.problems = problems;
  }
}

/** `file:line:col: message`, which editors and terminals turn into a link. */
export function formatProblem({ file, line, col, message }: ConfigProblem): string {
  return line > 0 ? `${file}:${line}:${col}: ${message}` : `${file}: ${message}`;
}
