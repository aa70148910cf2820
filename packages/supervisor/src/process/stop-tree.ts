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
  find: () => ObservedProcess[] | Promise<ObservedProcess[]>;
  graceMs: number;
  /** Fires when the grace is to be cut short. */
  force?: AbortSignal | undefined;
  /** First signal. */
  signal?: NodeJS.Signals | undefined;
  /** Sends SIGKILL to what can be reached without a search, besides what each search finds. */
  killGroup?: () => void;
  /** Resolves when a child ended, so that nobody waits for the next look. */
  childEnded?: (signal: AbortSignal) => Promise<void>;
  /** Resolves when the ends that have been seen are known to `exitOf`. */
  reaped?: () => Promise<void>;
  /** How a process ended, where we were its parent. */
  exitOf?: (key: string) => WaitStatus | undefined;
  /** Processes already gone whose end belongs into the report, e.g. a leader that ended by itself. */
  alreadyEnded?: ProcessOutcome[];
}

/** How long a SIGKILL may take before a process counts as unkillable (uninterruptible sleep). */
export const KILL_LIMIT_MS = 5000;
const FIRST_LOOK_MS = 2;
const LONGEST_LOOK_MS = 100;
/** New processes that keep coming do not make us look more often than this during the grace. */
const BUSY_LOOK_MS = 20;

/** Rejects only where the processes could not be searched for until the end, so that nothing is known of them. */
export async function stopTree(o: StopTreeOptions): Promise<StopReport> {
  const began = performance.now();
  const record = new Record();
  const signal = o.signal ?? 'SIGTERM';
  let members = await search(o, began + o.graceMs + KILL_LIMIT_MS);
  // From here on: a first search that took long must not use up the grace.
  const termBy = performance.now() + o.graceMs;
  record.alive(members);
  let look = FIRST_LOOK_MS;
  while (members.length > 0 && performance.now() < termBy && !o.force?.aborted) {
    let news = false;
    for (const member of members) {
      if (record.wasSignalled(member) && !record.lostSignal(member)) continue;
      news = true;
      if (sendSignal(member.identity, signal) === 'sent') record.sent(member, signal);
      sendSignal(member.identity, 'SIGCONT');
    }
    look = news ? Math.min(look, BUSY_LOOK_MS) : Math.min(look * 2, LONGEST_LOOK_MS);
    await pause(Math.min(look, termBy - performance.now()), o);
    members = await search(o, termBy + KILL_LIMIT_MS);
    record.alive(members);
  }

  const killBy = performance.now() + KILL_LIMIT_MS;
  look = 0;
  while (members.length > 0 && performance.now() < killBy) {
    let news = false;
    for (const member of members) {
      news ||= !record.wasSignalled(member, 'SIGKILL');
      if (sendSignal(member.identity, 'SIGKILL') === 'sent') record.sent(member, 'SIGKILL');
    }
    // After them, so that each is known to have been sent it: for what was forked since the search.
    o.killGroup?.();
    // At once where new ones keep coming: a chain that forks its successor and exits is caught between two forks.
    look = news ? 0 : Math.min(look + 1, LONGEST_LOOK_MS);
    await pause(look, o);
    members = await search(o, killBy);
    record.alive(members);
  }
  const durationMs = performance.now() - began;
  await o.reaped?.();
  return record.report(members, durationMs, o);
}

/** A search that fails, e.g. for want of file descriptors, proves nothing: it is repeated until it answers. */
async function search(o: StopTreeOptions, giveUpBy: number): Promise<ObservedProcess[]> {
  for (;;) {
    try {
      return await o.find();
    } catch (error) {
      if (performance.now() >= giveUpBy) throw error;
      await pause(LONGEST_LOOK_MS, o);
    }
  }
}

interface Entry {
  process: ObservedProcess;
  signals: string[];
  firstAt: number;
  /** First search that did not find it any more. */
  endedAt: number | null;
}

/** Everybody who was seen, what each was sent, and when each was found to be gone. */
class Record {
  readonly #entries = new Map<string, Entry>();

  wasSignalled({ identity }: ObservedProcess, signal?: string): boolean {
    const signals = this.#entries.get(identityKey(identity))?.signals ?? [];
    return signal === undefined ? signals.length > 0 : signals.includes(signal);
  }

  /**
   * True for one that has executed a program of its own since it was signalled: between a fork and an exec a signal is
   * taken by a handler of the parent's, and nobody ever hears of it.
   */
  lostSignal({ identity, forked }: ObservedProcess): boolean {
    return !forked && this.#entries.get(identityKey(identity))?.process.forked === true;
  }

  sent(process: ObservedProcess, signal: string): void {
    const entry = this.#entries.get(identityKey(process.identity));
    if (!entry) return;
    entry.process = process;
    if (entry.signals.at(-1) !== signal) entry.signals.push(signal);
  }

  alive(members: ObservedProcess[]): void {
    const now = performance.now();
    for (const process of members) {
      const key = identityKey(process.identity);
      const entry = this.#entries.get(key);
      if (entry) entry.endedAt = null;
      else this.#entries.set(key, { process, signals: [], firstAt: now, endedAt: null });
    }
    const living = new Set(members.map(({ identity }) => identityKey(identity)));
    for (const [key, entry] of this.#entries) if (!living.has(key)) entry.endedAt ??= now;
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
        durationMs: Math.round((entry.endedAt ?? performance.now()) - entry.firstAt),
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
  // A timer is late by a millisecond at least.
  const immediate = ms <= 0 ? setImmediate(wake) : undefined;
  const timer = ms <= 0 ? undefined : setTimeout(wake, ms);
  force?.addEventListener('abort', wake, { once: true });
  if (childEnded) wakers.push(childEnded(over.signal));
  await Promise.race(wakers);
  clearImmediate(immediate);
  clearTimeout(timer);
  force?.removeEventListener('abort', wake);
  over.abort();
}
