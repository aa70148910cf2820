/**
 * Takes stdin and stdout for the frames alone, before anything else can touch them.
 *
 * The frames move to private descriptors that no child inherits. In their place descriptor 1 becomes a copy of stderr,
 * so that whatever JavaScript or a C library prints is seen and never lands in the stream, and descriptor 0 becomes
 * empty, so that a child which inherits it cannot eat frames.
 */
import { createReadStream, createWriteStream, closeSync, openSync } from 'node:fs';
import { Socket, type OnReadOpts, type SocketConstructorOpts } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { isatty } from 'node:tty';
import koffi from 'koffi';

/** As Node's own. Four times as much was measured and bought nothing. */
const READ_BUFFER_BYTES = 64 * 1024;
const F_DUPFD_CLOEXEC = process.platform === 'darwin' ? 67 : 1030;
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;

export interface FrameStdio {
  input: FrameInput;
  output: Writable;
  /** Ends the process at once, whatever its threads are doing; `process.exit` would wait for one inside of native code. */
  exitNow(code: number): never;
}

export interface FrameInput {
  /** `chunk` is only valid during the call. */
  onChunk: (chunk: Uint8Array) => void;
  onEnd: () => void;
  onError: (error: Error) => void;
  pause(): void;
  resume(): void;
  close(): void;
}

/** Throws an Error with the remedy when stdin is a terminal. Call once per process. */
export function claimStdio(): FrameStdio {
  if (isatty(0)) {
    throw new Error(
      'stdin is a terminal, but a worker speaks the binary worker protocol there; the supervisor starts workers, see `supervisor start`',
    );
  }
  const libc = koffi.load(null);
  const fcntl = libc.func('int fcntl(int fd, int command, ...)') as (...args: unknown[]) => number;
  const dup2 = libc.func('int dup2(int from, int to)') as (from: number, to: number) => number;
  const exit = libc.func('void _exit(int code)') as (code: number) => void;
  const checked = (what: string, result: number) => {
    if (result < 0) throw new Error(`${what} failed with errno ${koffi.errno()}`);
    return result;
  };
  const inputFd = checked('duplicating stdin', fcntl(0, F_DUPFD_CLOEXEC, 'int', 3));
  const outputFd = checked('duplicating stdout', fcntl(1, F_DUPFD_CLOEXEC, 'int', 3));
  const nothing = openSync('/dev/null', 'r');
  checked('replacing stdin', dup2(nothing, 0));
  checked('replacing stdout', dup2(2, 1));
  closeSync(nothing);
  return {
    input: openInput(inputFd),
    output: openOutput(outputFd),
    exitNow: (code) => {
      exit(code);
      throw new Error('unreachable');
    },
  };
}

/**
 * Linux: asks the kernel to kill this process when the thread that spawned it ends. The supervisor arranges the same at
 * launch where `setpriv` exists; this covers the rest. False: the parent was gone before it could be asked for.
 */
export function dieWithParent(parentPid: number): boolean {
  if (process.platform === 'linux') {
    const prctl = koffi
      .load(null)
      .func('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)') as (
      ...args: number[]
    ) => number;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  }
  return process.ppid === parentPid;
}

function openInput(fd: number): FrameInput {
  const input: FrameInput = {
    onChunk: () => {},
    onEnd: () => {},
    onError: () => {},
    pause: () => stream.pause(),
    resume: () => stream.resume(),
    close: () => stream.destroy(),
  };
  const stream = openReadable(fd, input);
  stream.on('end', () => input.onEnd());
  stream.on('error', (error) => input.onError(error));
  return input;
}

function openReadable(fd: number, input: FrameInput): Readable {
  try {
    // One buffer for all reads: the decoder copies what it keeps. Node documents the option, its types lack it.
    const options: SocketConstructorOpts & { onread: OnReadOpts } = {
      fd,
      readable: true,
      writable: false,
      onread: {
        buffer: Buffer.allocUnsafeSlow(READ_BUFFER_BYTES),
        callback: (bytes, buffer) => {
          input.onChunk(buffer.subarray(0, bytes));
          return true;
        },
      },
    };
    return new Socket(options);
  } catch {
    // Not a pipe or a socket but a file, as in `worker < frames.bin`.
    return createReadStream('', { fd }).on('data', (chunk) => input.onChunk(chunk as Buffer));
  }
}

function openOutput(fd: number): Writable {
  try {
    return new Socket({ fd, readable: false, writable: true });
  } catch {
    return createWriteStream('', { fd });
  }
}
