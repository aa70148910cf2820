/** Which processes belong to an experiment, from one reading of the process table. */
import { identity, identityKey, type ProcessIdentity } from './identity.js';
import { onLinux } from './libc.js';
import { hasEnded, readCommand, readEnvironment, readProcessTable, startTimeOf, type ProcStat } from './proc.js';
import { psTable } from './ps.js';
import type { ProcessOutcome } from './receipt.js';

export interface ObservedProcess {
  identity: ProcessIdentity;
  /** ISO 8601. */
  startTime: string;
  command: string;
  /** Unit it belongs to; null when that could not be told. */
  unit: string | null;
  foundBy: ProcessOutcome['foundBy'];
}

/** A unit as the search knows it. */
export interface KnownUnit {
  id: string;
  /** Its present leader. */
  leader: ProcessIdentity;
  /** Keys of every process ever seen in its tree. */
  seen: Set<string>;
}

/** Environment variables that mark every process of an experiment. */
export const COOKIE = { run: 'SUPERVISOR_RUN', state: 'SUPERVISOR_STATE', unit: 'SUPERVISOR_UNIT' } as const;

export function processTable(): Map<number, ProcStat> {
  return onLinux ? readProcessTable() : psTable();
}

export interface SearchOptions {
  units: Iterable<KnownUnit>;
  /** Pids of our own that belong to no unit, e.g. a daemon beside us. */
  excluded?: ReadonlySet<number>;
  /**
   * True where orphans come to us: a member is then always a descendant of ours, and a stranger that was given the
   * number of a session that has died out is not mistaken for one.
   */
  adopting: boolean;
  /** Look through the environments of the whole machine for this state directory's cookie. */
  cookieState?: string;
}

/**
 * Every living process of the experiment except ourselves and our ancestors: our descendants (as a subreaper that is
 * everything, however it escaped), the units' sessions and groups, what was seen in a unit's tree before, and, where
 * asked, whatever carries the cookie.
 */
export function findProcesses({ units, excluded = new Set(), adopting, cookieState }: SearchOptions): ObservedProcess[] {
  const table = processTable();
  const known = [...units];
  const leaders = new Map(known.map((unit) => [unit.leader.pid, unit]));
  const children = childrenByParent(table);
  const found = new Map<number, ObservedProcess>();
  const spared = ancestors(table, process.pid);

  const add = (stat: ProcStat, unit: KnownUnit | string | null, foundBy: ProcessOutcome['foundBy']) => {
    if (hasEnded(stat) || spared.has(stat.pid) || excluded.has(stat.pid) || found.has(stat.pid)) return;
    const key = identityKey(stat);
    if (unit && typeof unit !== 'string') unit.seen.add(key);
    const id = identity(stat.pid, stat.startTicks);
    const name = typeof unit === 'string' ? unit : (unit?.id ?? null);
    const command = onLinux ? (readCommand(stat.pid) ?? `[${stat.name}]`) : stat.name;
    const startTime = onLinux ? startTimeOf(stat.startTicks) : new Date(stat.startTicks).toISOString();
    found.set(stat.pid, { identity: id, startTime, command, unit: name, foundBy });
  };
  const addTree = (stat: ProcStat, unit: KnownUnit | string | null, foundBy: ProcessOutcome['foundBy']) => {
    const walk = [{ stat, by: foundBy }];
    for (let next = walk.pop(); next; next = walk.pop()) {
      add(next.stat, unit, next.by);
      for (const child of children.get(next.stat.pid) ?? []) {
        // A branch that is a unit of its own is walked as that unit.
        if (!leaders.has(child.pid) && !excluded.has(child.pid)) walk.push({ stat: child, by: 'descendant' });
      }
    }
  };

  for (const unit of known) {
    const stat = table.get(unit.leader.pid);
    if (stat?.startTicks === unit.leader.startTicks) addTree(stat, unit, 'leader');
  }
  const candidates = adopting ? descendants(children, process.pid) : table.values();
  for (const stat of candidates) {
    if (found.has(stat.pid)) continue;
    const owner = ownerOf(stat, known, table);
    if (owner) addTree(stat, owner.unit, owner.by);
  }
  for (const child of children.get(process.pid) ?? []) {
    if (found.has(child.pid) || excluded.has(child.pid) || leaders.has(child.pid)) continue;
    addTree(child, readEnvironment(child.pid)?.get(COOKIE.unit) ?? null, 'adopted');
  }
  if (cookieState !== undefined && onLinux) {
    for (const stat of table.values()) {
      if (found.has(stat.pid) || spared.has(stat.pid)) continue;
      const environment = readEnvironment(stat.pid);
      if (environment?.get(COOKIE.state) !== cookieState) continue;
      addTree(stat, environment.get(COOKIE.unit) ?? null, 'cookie');
    }
  }
  return [...found.values()];
}

/** By session or group of the leader (whose pid cannot be recycled while it names one), or by having been seen. */
function ownerOf(
  stat: ProcStat,
  units: KnownUnit[],
  table: Map<number, ProcStat>,
): { unit: KnownUnit; by: ProcessOutcome['foundBy'] } | undefined {
  const key = identityKey(stat);
  for (const unit of units) {
    if (unit.seen.has(key)) return { unit, by: 'descendant' };
    const { pid, startTicks } = unit.leader;
    const holder = table.get(pid);
    // Another process has the leader's pid by now: the session and group that bear it are that one's.
    if (holder && holder.startTicks !== startTicks) continue;
    if (onLinux && Number(stat.startTicks) < Number(startTicks)) continue;
    if (stat.session === pid) return { unit, by: 'session' };
    if (stat.pgid === pid) return { unit, by: 'group' };
  }
  return undefined;
}

function childrenByParent(table: Map<number, ProcStat>): Map<number, ProcStat[]> {
  const children = new Map<number, ProcStat[]>();
  for (const stat of table.values()) {
    const siblings = children.get(stat.ppid);
    if (siblings) siblings.push(stat);
    else children.set(stat.ppid, [stat]);
  }
  return children;
}

function descendants(children: Map<number, ProcStat[]>, pid: number): ProcStat[] {
  const found: ProcStat[] = [];
  const walk = [...(children.get(pid) ?? [])];
  for (let next = walk.pop(); next; next = walk.pop()) {
    found.push(next);
    walk.push(...(children.get(next.pid) ?? []));
  }
  return found;
}

/** Ourselves and whoever started us: never to be signalled by a search of ours. */
function ancestors(table: Map<number, ProcStat>, pid: number): Set<number> {
  const line = new Set<number>();
  for (let at = table.get(pid); at && !line.has(at.pid); at = table.get(at.ppid)) line.add(at.pid);
  return line;
}
