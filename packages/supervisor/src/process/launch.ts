/**
 * How a command becomes a child that cannot outlive us by accident: a session of its own, and on Linux a parent-death
 * signal that is set before the command's first instruction.
 */
import { spawnSync } from 'node:child_process';
import { COOKIE } from './observe.js';
import { onLinux } from './libc.js';

export interface Launch {
  file: string;
  args: string[];
}

/** Talk between us and whoever started us; nothing of it is meant for children. */
const PRIVATE_VARIABLES = /^(NOTIFY_SOCKET|WATCHDOG_(USEC|PID)|LISTEN_(FDS|PID|FDNAMES)|NODE_CHANNEL_.*|NODE_UNIQUE_ID)$/;

/**
 * The parent may have died between the fork and the setting of the signal: then the child has another parent by now
 * and ends itself. Positional parameters only; no word of the user's is ever parsed by the shell.
 */
const EXEC_IF_PARENT_LIVES = '[ "$PPID" = "$1" ] || exit 125; shift; exec "$@"';

/** True where children can be given a parent-death signal before they exec (util-linux 2.33 or newer). */
export function canSetDeathSignal(): boolean {
  return onLinux && spawnSync('setpriv', ['--pdeathsig', 'KILL', '--', 'true'], { stdio: 'ignore' }).status === 0;
}

/** @param deathSignal what the kernel sends the child when we die; null where that cannot be set. */
export function launchPlan(program: string, args: string[], deathSignal: 'KILL' | 'TERM' | null): Launch {
  if (!deathSignal) return { file: program, args };
  const wrapped = ['/bin/sh', '-c', EXEC_IF_PARENT_LIVES, 'sh', String(process.pid), program, ...args];
  return { file: 'setpriv', args: ['--pdeathsig', deathSignal, '--', ...wrapped] };
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
