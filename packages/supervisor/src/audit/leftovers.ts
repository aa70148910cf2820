/** Processes of experiments that do not run any more. */
import { dirname } from 'node:path';
import type { TableEntry } from './process-table.js';

export interface Leftover {
  pid: number;
  experiment: string;
  unit: string | null;
  command: string;
  /** How it was found. */
  foundBy: 'cookie' | 'record';
}

export interface RunningRun {
  experiment: string;
  runId: string;
}

export interface RecordedProcess {
  pid: number;
  experiment: string;
  unit: string | null;
}

export interface LeftoverSearch {
  table: readonly TableEntry[];
  /** State root that is looked at; processes of other roots are the business of a check there. */
  root: string;
  /** Runs of that root. */
  running: readonly RunningRun[];
  /** Processes of records whose experiment does not run, their identity verified. */
  recorded: readonly RecordedProcess[];
}

/** Every process that carries our cookie or is in a record and belongs to no run. By pid. */
export function findLeftovers({ table, root, running, recorded }: LeftoverSearch): Leftover[] {
  const runs = new Set(running.map(({ experiment, runId }) => `${experiment}:${runId}`));
  const byPid = new Map(table.map((entry) => [entry.pid, entry]));
  const leftovers = new Map<number, Leftover>();
  for (const entry of table) {
    const { pid, cookie, command } = entry;
    // One that has ended holds nothing but its number, and only its parent can take that away.
    if (cookie === null || entry.ended || pid === process.pid) continue;
    if (cookie.stateDir !== null && dirname(cookie.stateDir) !== root) continue;
    if (runs.has(`${cookie.experiment}:${cookie.runId}`) || isInGoodHands(entry, byPid)) continue;
    leftovers.set(pid, { pid, experiment: cookie.experiment, unit: cookie.unit, command, foundBy: 'cookie' });
  }
  for (const { pid, experiment, unit } of recorded) {
    const entry = byPid.get(pid);
    if (!entry || entry.ended || leftovers.has(pid)) continue;
    leftovers.set(pid, { pid, experiment, unit, command: entry.command, foundBy: 'record' });
  }
  return [...leftovers.values()].sort((a, b) => a.pid - b.pid);
}

/** True below a living daemon or guardian, which may be cleaning up right now. */
function isInGoodHands(entry: TableEntry, byPid: ReadonlyMap<number, TableEntry>): boolean {
  const seen = new Set<number>();
  for (let at = byPid.get(entry.parentPid); at && !seen.has(at.pid); at = byPid.get(at.parentPid)) {
    seen.add(at.pid);
    if (holdsExperiment(at)) return true;
  }
  return false;
}

const titles = /^(supervisor daemon|keeper) /;
const entries = /^\S*node\S* (.*[ /])?(daemon|guardian)\/main\.js( |$)/;
const commands = /^\S*node\S* (.*[ /])?(supervisor|cli\.js) (.* )?(start|run|restart)( |$)/;

/** True for daemons, guardians, and commands that are their own guardian. */
export function holdsExperiment({ command, ended }: Pick<TableEntry, 'command' | 'ended'>): boolean {
  return !ended && (titles.test(command) || entries.test(command) || commands.test(command));
}
