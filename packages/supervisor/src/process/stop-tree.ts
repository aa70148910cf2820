/**
 * Stops a set of processes and proves it empty: SIGTERM and SIGCONT to each verified member (a stopped process takes
 * its SIGTERM only when continued), the grace, then SIGKILL in a loop until a search finds nothing. The end of the
 * search is the proof; the end of a leader is not.
 */
import { identityKey, sendSignal } from './identity.js';
import type { WaitStatus } from './libc.js';
import type { ObservedProcess } from './observe.js';
import type { ProcessOutcome, StopReport } from './receipt.js';

export interface StopTreeOptions {
  /** One search begun after the call. */
  find(): ObservedProcess[] | Promise<ObservedProcess[]>;
  graceMs: number;
  /** Fires when the grace is to be cut short. */
  force?: AbortSignal | undefined;
  /** First signal. */
  signal?: NodeJS.Signals | undefined;
  /** Resolves when a child ended, so that nobody waits for the next look. */
  childEnded?(signal: AbortSignal): Promise<void>;
  /** How a process ended, where we were its parent. */
  exitOf?(key: string): WaitStatus | undefined;
  /** Processes already gone whose end belongs into the report, e.g. a leader that ended by itself. */
  alreadyEnded?: ProcessOutcome[];
}

/** How long a SIGKILL may take before a process counts as unkillable (uninterruptible sleep). */
export const KILL_LIMIT_MS = 5000;
const FIRST_LOOK_MS = 2;
const LONGEST_LOOK_MS = 100;

export async function stopTree(o: StopTreeOptions): Promise<StopReport> {
  const began = performance.now();
  const record = new Record();
  const termBy = began + o.graceMs;
  let members = await o.find();
  let look = FIRST_LOOK_MS;
  while (members.length > 0 && performance.now() < termBy && !o.force?.aborted) {
    let news = false;
    for (const member of members) {
      if (record.has(member)) continue;
      news = true;
      record.sent(member, o.signal ?? 'SIGTERM');
      sendSignal(member.identity, o.signal ?? 'SIGTERM');
      sendSignal(member.identity, 'SIGCONT');
    }
    look = news ? FIRST_LOOK_MS : Math.min(look * 2, LONGEST_LOOK_MS);
    await pause(Math.min(look, termBy - performance.now()), o);
    members = await o.find();
    record.alive(members);
  }

  const killBy = performance.now() + KILL_LIMIT_MS;
  look = 0;
  while (members.length > 0 && performance.now() < killBy) {
    for (const member of members) {
      record.sent(member, 'SIGKILL');
      sendSignal(member.identity, 'SIGKILL');
    }
    // Close together at first: a chain that forks its successor and exits is caught between two forks.
    await pause(look, o);
    look = Math.min(look + 1, LONGEST_LOOK_MS);
    members = await o.find();
    record.alive(members);
  }
  return record.report(members, performance.now() - began, o);
}

interface Entry {
  process: ObservedProcess;
  signals: string[];
  firstAt: number;
  lastSeenAt: number;
}

/** What was sent to whom, and when each was last seen alive. */
class Record {
  readonly #entries = new Map<string, Entry>();

  has({ identity }: ObservedProcess): boolean {
    return this.#entries.has(identityKey(identity));
  }

  sent(process: ObservedProcess, signal: string): void {
    const key = identityKey(process.identity);
    const now = performance.now();
    const entry = this.#entries.get(key);
    if (!entry) this.#entries.set(key, { process, signals: [signal], firstAt: now, lastSeenAt: now });
    else if (entry.signals.at(-1) !== signal) entry.signals.push(signal);
  }

  alive(members: ObservedProcess[]): void {
    const now = performance.now();
    for (const { identity } of members) {
      const entry = this.#entries.get(identityKey(identity));
      if (entry) entry.lastSeenAt = now;
    }
  }

  report(left: ObservedProcess[], durationMs: number, o: StopTreeOptions): StopReport {
    const survivors = new Set(left.map(({ identity }) => identityKey(identity)));
    const processes = [...this.#entries].map(([key, entry]): ProcessOutcome => {
      const { identity, startTime, command, unit, foundBy } = entry.process;
      return {
        pid: identity.pid,
        startTime,
        command,
        unit,
        foundBy,
        signals: entry.signals,
        exit: survivors.has(key) ? null : (o.exitOf?.(key) ?? null),
        durationMs: Math.round(entry.lastSeenAt - entry.firstAt),
        outcome: survivors.has(key) ? 'unkillable' : 'ended',
      };
    });
    return {
      processes: [...(o.alreadyEnded ?? []), ...processes],
      survivors: processes.filter(({ outcome }) => outcome === 'unkillable'),
      durationMs: Math.round(durationMs),
    };
  }
}

/** Until the time is up, a child ended, or waiting is called off. */
async function pause(ms: number, { childEnded, force }: StopTreeOptions): Promise<void> {
  const over = new AbortController();
  const wakers = [new Promise<void>((resolve) => over.signal.addEventListener('abort', () => resolve()))];
  const wake = () => over.abort();
  const timer = setTimeout(wake, Math.max(0, ms));
  force?.addEventListener('abort', wake, { once: true });
  if (childEnded) wakers.push(childEnded(over.signal));
  await Promise.race(wakers);
  clearTimeout(timer);
  force?.removeEventListener('abort', wake);
  over.abort();
}
