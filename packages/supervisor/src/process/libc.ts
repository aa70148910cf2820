/**
 * The few calls of the C library that Node has no name for. The only file that knows of FFI.
 *
 * Loaded at first use: a command that signals nothing does not pay for it.
 */
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import type koffi from 'koffi';

export const onLinux = process.platform === 'linux';

const PR_SET_CHILD_SUBREAPER = 36;
/** System call numbers above 423 are the same on every architecture. */
const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_OPEN = 434;
const PIDFD_SIGNAL_PROCESS_GROUP = 4;
const WNOHANG = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

interface Libc {
  koffi: typeof koffi;
  prctl: (option: number, a: number, b: number, c: number, d: number) => number;
  syscall: (number: number, a: number, b: number, c: number, d: number) => number;
  waitpid: (pid: number, status: Int32Array, options: number) => number;
  flock: (fd: number, operation: number) => number;
}

let loaded: Libc | undefined;

function libc(): Libc {
  if (loaded) return loaded;
  try {
    const ffi = createRequire(import.meta.url)('koffi') as typeof koffi;
    // Node itself is linked against the C library, whatever its name is on this system.
    const self = ffi.load(null);
    loaded = {
      koffi: ffi,
      prctl: onLinux
        ? (self.func(
            'int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)',
          ) as Libc['prctl'])
        : () => -1,
      syscall: onLinux
        ? (self.func('long syscall(long, long, long, long, long)') as Libc['syscall'])
        : () => -1,
      waitpid: self.func('int waitpid(int, _Out_ int *, int)') as Libc['waitpid'],
      flock: self.func('int flock(int, int)') as Libc['flock'],
    };
    return loaded;
  } catch (cause) {
    throw new Error(
      `cannot load koffi, which signals processes safely on ${process.platform}-${process.arch}: ${(cause as Error).message}; ` +
        'run `npm ci` again on this machine',
      { cause },
    );
  }
}

/** Loads now what the first call would load. Throws where it is not to be had here, as that call would. */
export function loadLibc(): void {
  libc();
}

/** Makes this process the one that orphans among its descendants are re-parented to. Preserved over exec. */
export function becomeSubreaper(): boolean {
  return onLinux && libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) === 0;
}

/**
 * A file descriptor that means this process and no later one of the same pid; close it. 'gone': there is no such
 * process. 'refused': this kernel or sandbox has no pidfds, or there are no file descriptors left.
 */
export function openPidfd(pid: number): number | 'gone' | 'refused' {
  const { syscall, koffi: ffi } = libc();
  const fd = syscall(SYS_PIDFD_OPEN, pid, 0, 0, 0);
  if (fd >= 0) return fd;
  return ffi.errno() === constants.errno.ESRCH ? 'gone' : 'refused';
}

/** False when the process is gone (or is not ours to signal). */
export function signalPidfd(fd: number, signal: NodeJS.Signals): boolean {
  return libc().syscall(SYS_PIDFD_SEND_SIGNAL, fd, constants.signals[signal], 0, 0) === 0;
}

/**
 * Signals the whole group that this process leads, or led: the descriptor keeps meaning that group after its leader has
 * been reaped and the pid is another's. At one moment, so that no fork can slip through. False where nobody is left in
 * it, and before Linux 6.9.
 */
export function signalPidfdGroup(fd: number, signal: NodeJS.Signals): boolean {
  const number = constants.signals[signal];
  return libc().syscall(SYS_PIDFD_SEND_SIGNAL, fd, number, 0, PIDFD_SIGNAL_PROCESS_GROUP) === 0;
}

export interface WaitStatus {
  code: number | null;
  signal: string | null;
}

/**
 * Reaps one child that has ended. Undefined: it has not, or is not our child. Only for children that Node did not
 * spawn: reaping one of Node's would cost its `exit` event.
 */
export function reapChild(pid: number): WaitStatus | undefined {
  const status = new Int32Array(1);
  if (libc().waitpid(pid, status, WNOHANG) !== pid) return undefined;
  const word = status[0] ?? 0;
  const signal = word & 0x7f;
  return signal === 0
    ? { code: (word >> 8) & 0xff, signal: null }
    : { code: null, signal: signalName(signal) };
}

/** Takes an exclusive lock on an open file or folder without waiting. The kernel drops it when the process ends. */
export function lockFile(fd: number): boolean {
  return libc().flock(fd, LOCK_EX | LOCK_NB) === 0;
}

export function unlockFile(fd: number): void {
  libc().flock(fd, LOCK_UN);
}

function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] ?? `signal ${number}`;
}
