/** Which processes belong to an experiment, from one reading of the process table. */
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { identity, identityKey, type ProcessIdentity } from './identity.js';
import { onLinux } from './libc.js';
import {
  childrenOfMainThread,
  hasEnded,
  readCommand,
  readEnvironment,
  readPipes,
  readProcessTable,
  readStat,
  startTimeOf,
  type ProcStat,
} from './proc.js';
import { psTable } from './ps.js';
import type { ProcessOutcome } from './receipt.js';

export interface ObservedProcess {
  identity: ProcessIdentity;
  /** ISO 8601. */
  startTime: string;
  command: string;
  /** It has executed no program of its own (yet): a signal may be taken by a handler of its parent's. */
  forked: boolean;
  /** Unit it belongs to; null when that could not be told. */
  unit: string | null;
  foundBy: ProcessOutcome['foundBy'];
}

/** A unit as the search knows it. */
export interface KnownUnit {
  id: string;
  /** Its present leader. */
  leader: ProcessIdentity;
  /** Keys of the processes seen in its tree by the last search. */
  seen: Set<string>;
  /** What the leader's stdin, stdout and stderr were connected to: whoever holds one of these got it from the leader. */
  pipes?: readonly string[];
}

/** Environment variables that mark every process of an experiment. */
export const COOKIE = { run: 'SUPERVISOR_RUN', state: 'SUPERVISOR_STATE', unit: 'SUPERVISOR_UNIT' } as const;

export function processTable(): Map<number, ProcStat> {
  return onLinux ? readProcessTable() : psTable();
}

export interface CookieQuery {
  /** Path of the experiment's folder. */
  state: string;
  /** Only of this run, as `<name>:<run id>`; any run of the folder by default. */
  run?: string;
}

export interface SearchOptions {
  units: Iterable<KnownUnit>;
  /**
   * True where orphans come to us: a member is then always a descendant of ours, and a stranger that was given the
   * number of a session that has died out is not mistaken for one.
   */
  adopting: boolean;
  /** Look through the whole machine for these marks in environments, and for the pipes of the units. */
  cookie?: CookieQuery;
}

/**
 * Every living process of the experiment except ourselves and our ancestors: the units' trees, their sessions and
 * groups, what was seen in a unit's tree before, what was re-parented to us, and, where asked, whatever bears the
 * marks of the experiment. Throws where the table cannot be read: not knowing is not emptiness.
 */
export function findProcesses({ units, adopting, cookie }: SearchOptions): ObservedProcess[] {
  const table = processTable();
  const unsettled = adopting ? addLatecomers(table) : undefined;
  const known = [...units];
  const leaders = new Map(known.map((unit) => [unit.leader.pid, unit]));
  const children = childrenByParent(table);
  const found = new Map<number, ObservedProcess>();
  const spared = ancestors(table, process.pid);

  const add = (stat: ProcStat, unit: string | null, foundBy: ProcessOutcome['foundBy']) => {
    if ((hasEnded(stat) && stat !== unsettled) || spared.has(stat.pid) || found.has(stat.pid)) return;
    const id = identity(stat.pid, stat.startTicks);
    const command = onLinux ? (readCommand(stat.pid) ?? `[${stat.name}]`) : stat.name;
    const startTime = startTimeOf(stat.startTicks);
    found.set(stat.pid, { identity: id, startTime, command, forked: stat.forked, unit, foundBy });
  };
  const addTree = (stat: ProcStat, unit: string | null, foundBy: ProcessOutcome['foundBy']) => {
    const walk = [{ stat, by: foundBy }];
    for (let next = walk.pop(); next; next = walk.pop()) {
      add(next.stat, unit, next.by);
      for (const child of children.get(next.stat.pid) ?? []) {
        // A branch that is a unit of its own is walked as that unit.
        if (!leads(child, leaders)) walk.push({ stat: child, by: 'descendant' });
      }
    }
  };

  for (const unit of known) {
    const stat = table.get(unit.leader.pid);
    if (stat?.startTicks === unit.leader.startTicks) addTree(stat, unit.id, 'leader');
  }
  const candidates = adopting ? descendants(children, process.pid) : table.values();
  for (const stat of candidates) {
    if (found.has(stat.pid)) continue;
    const owner = ownerOf(stat, known, { table, adopting });
    if (owner) addTree(stat, owner.unit.id, owner.by);
  }
  if (adopting) {
    const session = table.get(process.pid)?.session;
    for (const child of children.get(process.pid) ?? []) {
      // Units have sessions of their own, which nothing can leave for ours: one of ours was spawned by a library here.
      if (found.has(child.pid) || leads(child, leaders) || child.session === session) continue;
      const unit = readEnvironment(child.pid)?.get(COOKIE.unit) ?? holderOfPipes(child, known)?.id ?? null;
      addTree(child, unit, 'adopted');
    }
  }
  if (cookie !== undefined && onLinux) {
    for (const stat of table.values()) {
      if (found.has(stat.pid) || spared.has(stat.pid) || hasEnded(stat)) continue;
      const owner = ownerByMarks(stat, cookie, known);
      if (owner) addTree(stat, owner.unit, 'cookie');
    }
  }
  remember(known, found);
  return [...found.values()];
}

/** Long enough for any chain that forks every few milliseconds; the event loop stands still meanwhile. */
const LONGEST_CHASE_MS = 20;

/**
 * The table is read over milliseconds, in which a process can fork a successor and exit: neither is in the table then.
 * But orphans come to us, and the kernel shows our own children at one moment. An ended child's own children are on
 * that list by the time it is seen to have ended; so the list is complete once it was read after the last such sight.
 * Where they come and go too fast for that, the one that ended last is returned: it stands for its successors, so that
 * what has not been proven empty is not taken for empty.
 */
function addLatecomers(table: Map<number, ProcStat>): ProcStat | undefined {
  const giveUpAt = performance.now() + LONGEST_CHASE_MS;
  for (;;) {
    let last: ProcStat | undefined;
    for (const pid of childrenOfMainThread()) {
      if (table.has(pid)) continue;
      const stat = readStat(pid);
      if (!stat) continue;
      table.set(pid, stat);
      if (hasEnded(stat)) last = stat;
    }
    if (!last || performance.now() > giveUpAt) return last;
  }
}

function leads(stat: ProcStat, leaders: ReadonlyMap<number, KnownUnit>): boolean {
  return leaders.get(stat.pid)?.leader.startTicks === stat.startTicks;
}

/** By session or group of the leader (whose pid cannot be recycled while it names one), or by having been seen. */
function ownerOf(
  stat: ProcStat,
  units: KnownUnit[],
  { table, adopting }: { table: Map<number, ProcStat>; adopting: boolean },
): { unit: KnownUnit; by: ProcessOutcome['foundBy'] } | undefined {
  const key = identityKey(stat);
  for (const unit of units) {
    if (unit.seen.has(key)) return { unit, by: 'descendant' };
    const { pid, startTicks } = unit.leader;
    const holder = table.get(pid);
    // Another process has the leader's pid by now: the session and group that bear it are that one's.
    if (holder && holder.startTicks !== startTicks) continue;
    // A leader long gone may have had its session die out, and its number given to a stranger's: only marks tell then.
    if (!holder && !adopting) continue;
    if (onLinux && Number(stat.startTicks) < Number(startTicks)) continue;
    if (stat.session === pid) return { unit, by: 'session' };
    if (stat.pgid === pid) return { unit, by: 'group' };
  }
  return undefined;
}

/** By its environment, or by holding a pipe that it can only have from the unit's leader. */
function ownerByMarks(
  stat: ProcStat,
  cookie: CookieQuery,
  units: KnownUnit[],
): { unit: string | null } | undefined {
  const environment = readEnvironment(stat.pid);
  if (environment && isSameFolder(environment.get(COOKIE.state), cookie.state)) {
    if (cookie.run !== undefined && environment.get(COOKIE.run) !== cookie.run) return undefined;
    return { unit: environment.get(COOKIE.unit) ?? null };
  }
  const unit = holderOfPipes(stat, units);
  return unit && { unit: unit.id };
}

/** Also where one of the two paths leads through a symbolic link that the other does not. */
function isSameFolder(marked: string | undefined, state: string): boolean {
  if (marked === undefined || marked === state) return marked === state;
  // Whatever a stranger has in its environment is not looked up.
  if (basename(marked) !== basename(state)) return false;
  try {
    const [a, b] = [statSync(marked), statSync(state)];
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    // Not there, or nothing that we may look at: then it is not ours either.
    return false;
  }
}

/** The unit whose leader's pipes this process holds: it can only have them from there. */
function holderOfPipes(stat: ProcStat, units: KnownUnit[]): KnownUnit | undefined {
  if (!units.some(({ pipes }) => pipes && pipes.length > 0)) return undefined;
  const held = readPipes(stat.pid);
  return units.find(
    ({ pipes, leader }) =>
      Number(stat.startTicks) >= Number(leader.startTicks) && held.some((pipe) => pipes?.includes(pipe)),
  );
}

/** What leaves its unit's session and is orphaned later is still known by having been seen in it. */
function remember(units: KnownUnit[], found: Map<number, ObservedProcess>): void {
  for (const { seen } of units) seen.clear();
  const byId = new Map(units.map((unit) => [unit.id, unit]));
  for (const { unit, identity: id } of found.values()) {
    if (unit !== null) byId.get(unit)?.seen.add(identityKey(id));
  }
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
