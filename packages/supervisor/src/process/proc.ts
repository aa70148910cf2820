/** Reads `/proc`. Every reader answers undefined for a process that has gone away meanwhile. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface ProcStat {
  pid: number;
  state: string;
  ppid: number;
  pgid: number;
  session: number;
  threads: number;
  /** It has executed no program of its own since it was forked: it runs its parent's, with its parent's signal handlers. */
  forked: boolean;
  /** Field 22: clock ticks after boot. Unchanged over exec; differs for a recycled pid. */
  startTicks: string;
  name: string;
}

/** Of the flags in `/proc/*\/stat`: forked, but has not executed anything. */
const PF_FORKNOEXEC = 0x40;
/** Ticks per second of `/proc/*\/stat`: 100 on every Linux that Node runs on. */
const CLOCK_TICKS = 100;

export function readStat(pid: number): ProcStat | undefined {
  const text = read(`/proc/${pid}/stat`);
  if (!text) return undefined;
  // The name stands in parentheses and may itself hold spaces and parentheses.
  const end = text.lastIndexOf(')');
  const fields = text.slice(end + 2).split(' ');
  return {
    pid,
    name: text.slice(text.indexOf('(') + 1, end),
    state: fields[0] ?? '?',
    ppid: Number(fields[1]),
    pgid: Number(fields[2]),
    session: Number(fields[3]),
    forked: (Number(fields[6]) & PF_FORKNOEXEC) !== 0,
    threads: Number(fields[17]),
    startTicks: fields[19] ?? '0',
  };
}

/** A zombie whose threads live on still runs; one without has ended and only waits to be reaped. */
export function hasEnded({ state, threads }: ProcStat): boolean {
  return (state === 'Z' || state === 'X') && threads <= 1;
}

export function readProcessTable(): Map<number, ProcStat> {
  const table = new Map<number, ProcStat>();
  // Youngest first: who was just forked, and may exit at once, is looked at before it can.
  for (const pid of listPids().reverse()) {
    const stat = readStat(pid);
    if (stat) table.set(pid, stat);
  }
  return table;
}

function listPids(): number[] {
  const pids: number[] = [];
  for (const entry of readdirSync('/proc')) {
    const first = entry.charCodeAt(0);
    if (first >= 48 && first <= 57) pids.push(Number(entry));
  }
  return pids;
}

/** Children of this process's main thread, which is also where orphans of a subreaper arrive. */
export function childrenOfMainThread(): number[] {
  const text = read(`/proc/self/task/${process.pid}/children`);
  return text ? text.split(' ').filter(Boolean).map(Number) : [];
}

/** Unreadable for processes of other users, and empty for one that cleared its environment. */
export function readEnvironment(pid: number): Map<string, string> | undefined {
  const text = read(`/proc/${pid}/environ`);
  if (text === undefined) return undefined;
  const environment = new Map<string, string>();
  for (const entry of text.split('\0')) {
    const at = entry.indexOf('=');
    if (at > 0) environment.set(entry.slice(0, at), entry.slice(at + 1));
  }
  return environment;
}

/**
 * What stdin, stdout and stderr of a process are connected to, for pipes and sockets: e.g. `socket:[4711]`. A kernel
 * object with that number is nobody else's while somebody holds it.
 */
export function readPipes(pid: number): string[] {
  return [0, 1, 2].flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
      return /^(socket|pipe):/.test(target) ? [target] : [];
    } catch {
      return [];
    }
  });
}

/** Arguments joined by spaces; the name in brackets where there are none (kernel threads, zombies). */
export function readCommand(pid: number): string | undefined {
  const text = read(`/proc/${pid}/cmdline`);
  if (text === undefined) return undefined;
  const command = text.replace(/\0+$/, '').replaceAll('\0', ' ').trim();
  if (command) return command;
  const stat = readStat(pid);
  return stat ? `[${stat.name}]` : undefined;
}

let boot: string | undefined;
export function bootId(): string {
  boot ??= read('/proc/sys/kernel/random/boot_id')?.trim() ?? 'unknown';
  return boot;
}

let namespace: string | undefined;
/** Inode of this process's PID namespace: pids of another one mean other processes. */
export function pidNamespace(): string {
  if (namespace === undefined) {
    try {
      namespace = readlinkSync('/proc/self/ns/pid').replace(/\D/g, '');
    } catch {
      namespace = 'unknown';
    }
  }
  return namespace;
}

let bootSeconds: number | undefined;
/** ISO 8601, from the kernel's ticks or, where there are none, from what `ps` writes; as it is where it is neither. */
export function startTimeOf(startTicks: string): string {
  if (!/^\d+$/.test(startTicks)) {
    const parsed = Date.parse(startTicks);
    return Number.isNaN(parsed) ? startTicks : new Date(parsed).toISOString();
  }
  bootSeconds ??= Number(/^btime (\d+)/m.exec(read('/proc/stat') ?? '')?.[1] ?? 0);
  return new Date((bootSeconds + Number(startTicks) / CLOCK_TICKS) * 1000).toISOString();
}

/** What the kernel answers for a process that is gone, or belongs to somebody else. */
const ABSENT = new Set(['ENOENT', 'ESRCH', 'EACCES', 'EPERM']);

/** Throws where nothing could be learnt, e.g. for want of file descriptors: that must not look like an absence. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (ABSENT.has((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}
