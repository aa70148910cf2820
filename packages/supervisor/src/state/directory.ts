/** Where one experiment keeps its state: `<root>/<name>/`, for this user only. */
import { accessSync, closeSync, constants, openSync, readdirSync, statSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { makeFolder } from './make-folder.js';
import { lockFile, unlockFile } from '../process/libc.js';

/** The state directory cannot be used; the message says why and how to mend it. */
export class StateDirError extends Error {
  override name = 'StateDirError';
  readonly code = 'STATE_DIR_UNUSABLE';
}

/** Held by the one daemon of a name; the kernel drops it when that process ends, however it ends. */
export interface DirLock {
  /** Idempotent. */
  release(): Promise<void>;
}

export class StateDir {
  readonly root: string;
  readonly name: string;

  private constructor(root: string, name: string) {
    this.root = root;
    this.name = name;
  }

  static at(root: string, name: string): StateDir {
    return new StateDir(root, name);
  }

  /** From the path of the experiment's own folder. */
  static open(path: string): StateDir {
    return new StateDir(dirname(path), basename(path));
  }

  get path(): string {
    return join(this.root, this.name);
  }

  /** Line 1: the daemon's pid; line 2: its identity and run id as JSON. */
  get pidFile(): string {
    return join(this.path, 'supervisor.pid');
  }

  /** What runs, as `restart` and the cleaners need it. */
  get experimentFile(): string {
    return join(this.path, 'experiment.json');
  }

  get recordsDir(): string {
    return join(this.path, 'records');
  }

  get controlSocket(): string {
    return join(this.path, 'control.sock');
  }

  get logsDir(): string {
    return join(this.path, 'logs');
  }

  /** What a unit writes. The name does not end in a digit, because a rotated file's number is appended to it. */
  unitLog(unit: string): string {
    return join(this.logsDir, `${unit.replaceAll('/', '~')}.out.log`);
  }

  get receiptFile(): string {
    return join(this.path, 'receipts', 'last.json');
  }

  /** Makes the folders, 0700. */
  async ensure(): Promise<void> {
    try {
      for (const folder of [this.path, this.recordsDir, this.logsDir, dirname(this.receiptFile)]) {
        await makeFolder(folder, 0o700);
      }
      const { uid, mode } = statSync(this.path);
      const user = process.getuid?.();
      if (user !== undefined && uid !== user) {
        throw new StateDirError(
          `the state directory ${this.path} belongs to user ${uid}, not to ${user}; choose another with --state-dir`,
        );
      }
      if ((mode & 0o077) !== 0) await chmod(this.path, 0o700);
      accessSync(this.path, constants.R_OK | constants.W_OK | constants.X_OK);
    } catch (error) {
      throw asStateDirError(error, this.path);
    }
  }

  /** Null when another process holds the name. The folder itself is locked, so that no lock file is left behind. */

  async lock(): Promise<DirLock | null> {
    // A plain descriptor: a handle that is garbage-collected would drop the lock.
    let folder: number;
    try {
      folder = openSync(this.path, constants.O_RDONLY | constants.O_DIRECTORY);
    } catch (error) {
      throw asStateDirError(error, this.path);
    }
    if (!lockFile(folder)) {
      closeSync(folder);
      return null;
    }
    let held = true;
    return {
      release: async () => {
        if (!held) return;
        held = false;
        unlockFile(folder);
        closeSync(folder);
      },
    };
  }
}

export function defaultStateRoot(env: NodeJS.ProcessEnv): string {
  // systemd names several, separated by colons, where the unit asks for several.
  const runtime = env['RUNTIME_DIRECTORY']?.split(':')[0];
  if (runtime) return runtime;
  if (env['XDG_RUNTIME_DIR']) return join(env['XDG_RUNTIME_DIR'], 'supervisor');
  return join(env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'supervisor');
}

/** Every experiment that has a folder under the root, running or not; none where there is no root. */
export function listExperiments(root: string): StateDir[] {
  try {
    return readdirSync(root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => StateDir.at(root, entry.name))
      .filter((dir) => isStateDir(dir))
      .sort((a, b) => a.name.localeCompare(b.name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw asStateDirError(error, root);
  }
}

/** A folder of somebody else's under the root is left alone. */
function isStateDir(dir: StateDir): boolean {
  return exists(dir.recordsDir) || exists(dir.pidFile);
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

export function asStateDirError(error: unknown, path: string): StateDirError {
  if (error instanceof StateDirError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const reasons: Record<string, string> = {
    EACCES: 'this user may not use it; choose another with --state-dir or mend its permissions',
    EPERM: 'this user may not use it; choose another with --state-dir or mend its permissions',
    ENOENT: 'its file system takes no new folders; choose another with --state-dir',
    ENOTDIR: 'a part of the path is not a folder; choose another with --state-dir',
    EEXIST: 'something that is not a folder is in the way; remove it or choose another with --state-dir',
    ENOSPC: 'no space left on its device; free some or choose another with --state-dir',
    EDQUOT: 'the disk quota is used up; free some space or choose another with --state-dir',
    EROFS: 'its file system is read-only; choose another with --state-dir',
    ENAMETOOLONG: 'its name is too long; choose another with --state-dir',
  };
  const why = (code && reasons[code]) ?? message;
  return new StateDirError(`cannot use the state directory ${path}: ${why}`, { cause: error });
}
