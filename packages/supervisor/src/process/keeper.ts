/**
 * Holds all process trees of one run together: knows which process belongs to which unit, adopts and reaps what
 * escapes, and proves emptiness. One per daemon.
 */
import type { StateDir } from '../state/directory.js';
import { onLinux } from './libc.js';
import { findDeathSignalSetter, type DeathSignal } from './launch.js';
import { findProcesses, type KnownUnit, type ObservedProcess } from './observe.js';
import type { StopReport } from './receipt.js';
import { Reaper } from './reaper.js';
import { stopTree, type StopTreeOptions } from './stop-tree.js';

export type ContainmentTier = 'subreaper' | 'portable';

export interface KeeperOptions {
  stateDir: StateDir;
  experiment: string;
  runId: string;
  containment: 'auto' | ContainmentTier;
}

/** Thrown when the containment that was asked for is not to be had here. */
export class ContainmentError extends Error {
  override name = 'ContainmentError';
}

export class Keeper {
  readonly tier: ContainmentTier;
  /** What is weaker than it could be, in words; null when nothing is. */
  readonly degraded: string | null;
  readonly stateDir: StateDir;
  readonly runId: string;
  readonly experiment: string;
  readonly reaper: Reaper;
  readonly #deathSignalSetter: string | null;
  readonly #units = new Map<string, KnownUnit>();
  #search: Promise<ObservedProcess[]> | null = null;
  /** Remembers who was seen in which tree: what leaves its unit later is still known by that. */
  readonly #sampler = setInterval(() => {
    // One that fails, e.g. for want of file descriptors, is made up for by the next.
    this.census().catch(() => undefined);
  }, SAMPLE_INTERVAL_MS).unref();

  private constructor(o: KeeperOptions, reaper: Reaper, tier: ContainmentTier, setter: string | null) {
    this.stateDir = o.stateDir;
    this.runId = o.runId;
    this.experiment = o.experiment;
    this.reaper = reaper;
    this.tier = tier;
    this.degraded = tier === 'portable' ? NO_ADOPTION : setter === null ? NO_DEATH_SIGNAL : null;
    this.#deathSignalSetter = setter;
  }

  static async open(o: KeeperOptions): Promise<Keeper> {
    const reaper = new Reaper();
    if (o.containment === 'portable') return new Keeper(o, reaper, 'portable', null);
    if (!reaper.adopt()) {
      if (o.containment === 'subreaper') {
        const why = onLinux
          ? 'the kernel refused PR_SET_CHILD_SUBREAPER'
          : `${process.platform} has no subreapers`;
        throw new ContainmentError(
          `supervision.containment: subreaper is not to be had here: ${why}; use auto or portable`,
        );
      }
      return new Keeper(o, reaper, 'portable', null);
    }
    return new Keeper(o, reaper, 'subreaper', findDeathSignalSetter());
  }

  /** How a child of ours is made to end with us; null where the system or the tier has no such thing. */
  deathSignal(signal: DeathSignal['signal']): DeathSignal | null {
    return this.#deathSignalSetter === null ? null : { setter: this.#deathSignalSetter, signal };
  }

  /** Begins to count everything under this leader as the unit's. */
  register(unit: KnownUnit): void {
    this.#units.set(unit.id, unit);
  }

  unregister(id: string): void {
    this.#units.delete(id);
  }

  /** Everything of this run that lives, from one search; callers of the same turn share it. */
  census(): Promise<ObservedProcess[]> {
    this.#search ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        this.#search = null;
        try {
          this.reaper.reap();
          // Without adoption an escaped process is nobody's descendant: only its marks still tell.
          resolve(this.#find({ everywhere: this.tier === 'portable' }));
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
    return this.#search;
  }

  async members(unit: string): Promise<ObservedProcess[]> {
    return (await this.census()).filter((process) => process.unit === unit);
  }

  /** Stops what escaped and could not be told to belong to a unit. */
  stopStrays({ graceMs, force }: { graceMs: number; force?: AbortSignal | undefined }): Promise<StopReport> {
    return this.#stop(async () => (await this.census()).filter(({ unit }) => unit === null), graceMs, force);
  }

  /** Stops everything that is left, whichever unit it belongs to, and proves it. */
  sweep({ graceMs, force }: { graceMs: number; force?: AbortSignal | undefined }): Promise<StopReport> {
    return this.#stop(() => this.#find({ everywhere: true }), graceMs, force);
  }

  close(): void {
    clearInterval(this.#sampler);
    this.reaper.close();
  }

  #stop(find: StopTreeOptions['find'], graceMs: number, force?: AbortSignal): Promise<StopReport> {
    return stopTree({
      find,
      graceMs,
      force,
      childEnded: (signal) => this.reaper.childEnded(signal),
      reaped: () => this.reaper.reaped(),
      exitOf: (key) => this.reaper.exitOf(key),
    });
  }

  #find({ everywhere }: { everywhere: boolean }): ObservedProcess[] {
    return findProcesses({
      units: this.#units.values(),
      adopting: this.tier === 'subreaper',
      ...(everywhere && { cookie: { state: this.stateDir.path } }),
    });
  }
}

/** Far apart: an idle supervisor must cost nothing. While it stops something it looks much more often. */
const SAMPLE_INTERVAL_MS = 2000;

const NO_ADOPTION =
  'processes that leave their session are found by their environment only, and one that clears it may escape';
const NO_DEATH_SIGNAL =
  'setpriv of util-linux 2.33 or newer is missing, so workers do not die with a killed daemon by themselves; install util-linux';
