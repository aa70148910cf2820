/**
 * How a command becomes a child that cannot outlive us by accident: a session of its own, and on Linux a parent-death
 * signal that is set before the command's first instruction.
 */
import { spawnSync } from 'node:child_process';
import { findExecutable } from './executable.js';
import { COOKIE } from './observe.js';
import { onLinux } from './libc.js';

export interface Launch {
  file: string;
  args: string[];
}

/** Talk between us and whoever started us; nothing of it is meant for children. */
const PRIVATE_VARIABLES =
  /^(NOTIFY_SOCKET|WATCHDOG_(USEC|PID)|LISTEN_(FDS|PID|FDNAMES)|NODE_CHANNEL_.*|NODE_UNIQUE_ID)$/;

/**
 * The parent may have died between the fork and the setting of the signal: then the child has another parent by now
 * and ends itself. Positional parameters only; no word of the user's is ever parsed by the shell.
 */
const EXEC_IF_PARENT_LIVES = '[ "$PPID" = "$1" ] || exit 125; shift; exec "$@"';

/** What a shell takes for a variable; it drops others from the environment that it passes on. */
const SHELL_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * Absolute path of a `setpriv` that can give children a parent-death signal before they exec (util-linux 2.33 or
 * newer); null where there is none. Absolute, because a command's own PATH need not lead to it.
 */
export function findDeathSignalSetter(): string | null {
  if (!onLinux) return null;
  let setpriv: string;
  try {
    setpriv = findExecutable('setpriv', '/', process.env['PATH']);
  } catch {
    return null;
  }
  const { status } = spawnSync(setpriv, ['--pdeathsig', 'KILL', '--', '/bin/sh', '-c', ':'], {
    stdio: 'ignore',
  });
  return status === 0 ? setpriv : null;
}

export interface DeathSignal {
  /** Absolute path of the program that sets it. */
  setter: string;
  /** What the kernel sends the child when we die. */
  signal: 'KILL' | 'TERM';
}

/** @param deathSignal null where that cannot be set. */
export function launchPlan(
  [program = '', ...args]: string[],
  env: Record<string, string>,
  deathSignal: DeathSignal | null,
): Launch {
  if (!deathSignal) return { file: program, args };
  const unspeakable = Object.entries(env).filter(([name]) => !SHELL_NAME.test(name));
  const restored =
    unspeakable.length > 0 ? ['env', ...unspeakable.map(([name, value]) => `${name}=${value}`)] : [];
  return {
    file: deathSignal.setter,
    args: [
      ...['--pdeathsig', deathSignal.signal, '--'],
      ...['/bin/sh', '-c', EXEC_IF_PARENT_LIVES, 'sh', String(process.pid)],
      ...restored,
      program,
      ...args,
    ],
  };
}

export interface Cookie {
  run: string;
  state: string;
  unit: string;
}

export function childEnvironment(env: Record<string, string>, cookie: Cookie): Record<string, string> {
  const kept = Object.entries(env).filter(([name]) => !PRIVATE_VARIABLES.test(name));
  return {
    ...Object.fromEntries(kept),
    [COOKIE.run]: cookie.run,
    [COOKIE.state]: cookie.state,
    [COOKIE.unit]: cookie.unit,
  };
}
