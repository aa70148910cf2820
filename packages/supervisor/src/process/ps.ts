/** The process table where there is no `/proc` (macOS): from `ps`, which is slower and knows no environments. */
import { spawnSync } from 'node:child_process';
import type { ProcStat } from './proc.js';

export interface PsEntry extends ProcStat {
  command: string;
}

export function psTable(): Map<number, PsEntry> {
  return parsePs(runPs(['-ax']));
}

export function psEntry(pid: number): PsEntry | undefined {
  return parsePs(runPs(['-p', String(pid)])).get(pid);
}

/** `lstart` is five words, e.g. `Mon Nov 23 12:00:00 2026`. */
export function parsePs(text: string): Map<number, PsEntry> {
  const table = new Map<number, PsEntry>();
  for (const line of text.split('\n')) {
    const match = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(\S+\s+\S+\s+\d+\s+\S+\s+\d+)\s+(.*)$/.exec(line);
    if (!match) continue;
    const [, pid, ppid, pgid, state, started, command] = match as unknown as [string, ...string[]];
    table.set(Number(pid), {
      pid: Number(pid),
      ppid: Number(ppid),
      pgid: Number(pgid),
      // Not shown portably; a session leader's group bears the same number, which is what is matched.
      session: Number(pgid),
      state: state ?? '?',
      threads: 1,
      // Not shown.
      forked: false,
      startTicks: started ?? '',
      name: command ?? '',
      command: command ?? '',
    });
  }
  return table;
}

function runPs(selection: string[]): string {
  const columns = 'pid=,ppid=,pgid=,stat=,lstart=,command=';
  const { stdout, error } = spawnSync('ps', [...selection, '-o', columns], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
    maxBuffer: 64 * 1024 * 1024,
  });
  if (error) throw new Error(`cannot list processes with ps: ${error.message}`, { cause: error });
  return stdout;
}
