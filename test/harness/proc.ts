/** What the kernel says about processes, read from /proc: on purpose not with the code under test. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface ProcessSeen {
  pid: number;
  ppid: number;
  session: number;
  /** Clock ticks since boot: together with the pid it names one process for ever. */
  startTicks: string;
  /** One letter; `Z` is a zombie. */
  state: string;
  command: string;
}

/** Null when there is no such process (any more). */
export function seeProcess(pid: number): ProcessSeen | null {
  const stat = read(`/proc/${pid}/stat`);
  // The name may hold spaces and parentheses: fields are counted after its last one.
  const close = stat.lastIndexOf(')');
  if (close < 0) return null;
  const fields = stat.slice(close + 2).split(' ');
  return {
    pid,
    ppid: Number(fields[1]),
    session: Number(fields[3]),
    startTicks: fields[19] ?? '',
    state: fields[0] ?? '',
    command:
      read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim() || stat.slice(stat.indexOf('('), close + 1),
  };
}

export function seeAllProcesses(): ProcessSeen[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => seeProcess(Number(name)))
    .filter((seen) => seen !== null);
}

/** Empty for processes that have ended, and for those of other users. */
export function environmentOf(pid: number): Record<string, string> {
  const pairs = read(`/proc/${pid}/environ`).split('\0').filter(Boolean);
  return Object.fromEntries(
    pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
}

export function workingFolderOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

/** A zombie has ended: it only waits for its parent to look. */
export function isAlive({ state }: ProcessSeen): boolean {
  return state !== 'Z' && state !== 'X';
}

/** True while this very process runs, not another one with its pid. */
export function stillRuns(seen: ProcessSeen): boolean {
  const now = seeProcess(seen.pid);
  return now !== null && now.startTicks === seen.startTicks && isAlive(now);
}

/** Open descriptors of a process: their number and what they are. */
export function openFilesOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}

/** TCP ports that the process listens on. */
export function portsOf(pid: number): number[] {
  const inodes = new Set(openFilesOf(pid).map((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1]));
  const tables = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => read(table).split('\n').slice(1));
  return tables
    .map((line) => line.trim().split(/\s+/))
    .filter((row) => row[3] === LISTENING && inodes.has(row[9]))
    .map((row) => parseInt(row[1]?.split(':').pop() ?? '', 16));
}

const LISTENING = '0A';

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
