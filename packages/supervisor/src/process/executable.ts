/** Finds the program of a command the way `execvp` does, so that what is wrong with it can be said before a spawn. */
import { accessSync, constants, closeSync, openSync, readSync, statSync } from 'node:fs';
import { delimiter, isAbsolute, join, resolve } from 'node:path';

export type SpawnErrorCode = 'NOT_FOUND' | 'NOT_EXECUTABLE' | 'BAD_CWD' | 'SPAWN_FAILED';

/** The command of a unit cannot be started. All but SPAWN_FAILED stay so until somebody mends the command. */
export class SpawnError extends Error {
  override name = 'SpawnError';
  readonly code: SpawnErrorCode;

  constructor(code: SpawnErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** Absolute path of the program; throws `SpawnError` where there is none. A name without a slash is looked up in PATH, one with a slash against `cwd`. */
export function findExecutable(program: string, cwd: string, path: string | undefined): string {
  if (!statSync(cwd, { throwIfNoEntry: false })?.isDirectory()) {
    throw new SpawnError('BAD_CWD', `cannot run in ${cwd}: it is not a folder`);
  }
  if (program.includes('/')) {
    const file = isAbsolute(program) ? program : resolve(cwd, program);
    const problem = whyNotExecutable(file);
    if (problem) throw problem;
    return file;
  }
  let refused: SpawnError | undefined;
  for (const folder of (path ?? '/usr/local/bin:/usr/bin:/bin').split(delimiter)) {
    const file = join(resolve(cwd, folder || '.'), program);
    const problem = whyNotExecutable(file);
    if (!problem) return file;
    if (problem.code === 'NOT_EXECUTABLE') refused ??= problem;
  }
  throw (
    refused ??
    new SpawnError(
      'NOT_FOUND',
      `cannot run ${program}: there is no such program in PATH; install it or name its path`,
    )
  );
}

function whyNotExecutable(file: string): SpawnError | undefined {
  let stat;
  try {
    stat = statSync(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const what = code === 'EACCES' ? 'this user may not reach it' : 'there is no such file';
    return new SpawnError('NOT_FOUND', `cannot run ${file}: ${what}`, error);
  }
  if (!stat.isFile()) return new SpawnError('NOT_EXECUTABLE', `cannot run ${file}: it is not a file`);
  try {
    accessSync(file, constants.X_OK);
  } catch (error) {
    return new SpawnError('NOT_EXECUTABLE', `cannot run ${file}: it is not executable; chmod +x it`, error);
  }
  const interpreter = shebangOf(file);
  if (interpreter && !statSync(interpreter, { throwIfNoEntry: false })) {
    return new SpawnError('NOT_FOUND', `cannot run ${file}: its interpreter ${interpreter} does not exist`);
  }
  return undefined;
}

function shebangOf(file: string): string | undefined {
  const head = Buffer.alloc(256);
  let fd: number | undefined;
  try {
    fd = openSync(file, 'r');
    const length = readSync(fd, head, 0, head.length, 0);
    return /^#!\s*(\/\S+)/.exec(head.toString('latin1', 0, length))?.[1];
  } catch {
    // Executable but not readable: the kernel can still run it.
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
