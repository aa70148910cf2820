/** Which process is meant, beyond its pid: pids are recycled, a pid with its start time within one boot is not. */
import { closeSync } from 'node:fs';
import { onLinux, openPidfd, signalPidfd } from './libc.js';
import { bootId, hasEnded, pidNamespace, readStat } from './proc.js';
import { psEntry } from './ps.js';

export interface ProcessIdentity {
  pid: number;
  /** Linux: clock ticks after boot. Elsewhere: the start time as `ps` writes it. */
  startTicks: string;
  bootId: string;
  pidNamespace: string;
}

/** For identities read from files. */
export function isIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== 'object' || value === null) return false;
  const { pid, startTicks, bootId: boot, pidNamespace: namespace } = value as Partial<ProcessIdentity>;
  // Zero and negative numbers mean groups to kill(2).
  if (!Number.isSafeInteger(pid) || (pid as number) <= 0) return false;
  return [startTicks, boot, namespace].every((part) => typeof part === 'string');
}

/** The process that has this pid now; undefined when there is none. Zombies are still identified. */
export function identify(pid: number): ProcessIdentity | undefined {
  const startTicks = onLinux ? readStat(pid)?.startTicks : psEntry(pid)?.startTicks;
  return startTicks === undefined ? undefined : identity(pid, startTicks);
}

export function identity(pid: number, startTicks: string): ProcessIdentity {
  return { pid, startTicks, bootId: bootId(), pidNamespace: pidNamespace() };
}

/** False when it is gone, a zombie, another process with its pid, or of another boot or PID namespace. */
export function isRunning(id: ProcessIdentity): boolean {
  if (!isFromHere(id)) return false;
  if (!onLinux) {
    const entry = psEntry(id.pid);
    return entry?.startTicks === id.startTicks && !entry.state.startsWith('Z');
  }
  const stat = readStat(id.pid);
  return stat?.startTicks === id.startTicks && !hasEnded(stat);
}

/** Only then does the pid mean anything here. */
export function isFromHere(id: ProcessIdentity): boolean {
  return id.bootId === bootId() && id.pidNamespace === pidNamespace();
}

/** A key for maps; two processes never share one within a boot. */
export function identityKey({ pid, startTicks }: Pick<ProcessIdentity, 'pid' | 'startTicks'>): string {
  return `${pid}:${startTicks}`;
}

/**
 * Signals exactly this process. The pidfd is opened first and the start time compared after that, so that the pid
 * cannot be recycled in between.
 */
export function sendSignal(id: ProcessIdentity, signal: NodeJS.Signals): 'sent' | 'gone' {
  if (!isFromHere(id)) return 'gone';
  if (!onLinux) return isRunning(id) && signalByPid(id.pid, signal) ? 'sent' : 'gone';
  const fd = openPidfd(id.pid);
  if (fd === 'gone') return 'gone';
  // Second best, but a tree that cannot be signalled at all is worse: compared, and signalled in the same breath.
  if (fd === 'refused') return isRunning(id) && signalByPid(id.pid, signal) ? 'sent' : 'gone';
  try {
    const stat = readStat(id.pid);
    if (stat?.startTicks !== id.startTicks || hasEnded(stat)) return 'gone';
    return signalPidfd(fd, signal) ? 'sent' : 'gone';
  } finally {
    closeSync(fd);
  }
}

function signalByPid(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
