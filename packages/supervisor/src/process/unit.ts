/** One supervised process and its whole tree, from spawn to proven empty. */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import kill from 'tree-kill';
import { removeRecord, writeRecord, type UnitRecord } from '../state/records.js';
import { findExecutable, SpawnError } from './executable.js';
import { identify, identityKey, isRunning, type ProcessIdentity } from './identity.js';
import type { Keeper } from './keeper.js';
import { childEnvironment, launchPlan } from './launch.js';
import { onLinux } from './libc.js';
import type { KnownUnit, ObservedProcess } from './observe.js';
import { startTimeOf } from './proc.js';
import type { ProcessOutcome, StopReport } from './receipt.js';
import { stopTree } from './stop-tree.js';

export { SpawnError };

export interface UnitSpec {
  /** `<name>/<replica>`. */
  id: string;
  kind: 'worker' | 'process';
  command: string[];
  /** The whole environment, before the marks of the experiment are added. */
  env: Record<string, string>;
  cwd: string;
  /** What its tree gets between SIGTERM and SIGKILL when others have to stop it. */
  graceMs: number;
}

export interface UnitStopOptions {
  graceMs: number;
  /** Skips the waiting. */
  force?: AbortSignal;
  /** First signal; SIGTERM by default. */
  signal?: NodeJS.Signals;
}

export class Unit {
  readonly id: string;
  readonly identity: ProcessIdentity;
  /** Null for plain processes, which read from /dev/null. */
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** The leader's end; what it leaves behind may live on. */
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
  readonly #spec: UnitSpec;
  readonly #keeper: Keeper;
  #stopping: Promise<StopReport> | null = null;
  #leaderEnd: { code: number | null; signal: string | null } | null = null;

  private constructor(spec: UnitSpec, keeper: Keeper, child: ChildProcess, identity: ProcessIdentity) {
    this.id = spec.id;
    this.identity = identity;
    this.stdin = child.stdin;
    this.stdout = child.stdout as Readable;
    this.stderr = child.stderr as Readable;
    this.#spec = spec;
    this.#keeper = keeper;
    this.exited = new Promise((resolve) => {
      // `exit`, not `close`: a child that holds our pipes open must not hide the leader's end.
      child.once('exit', (code, signal) => {
        this.#leaderEnd = { code, signal };
        resolve(this.#leaderEnd);
      });
    });
  }

  /** Throws `SpawnError`, or what writing the intent to the state directory threw; nothing is left then. */
  static async spawn(spec: UnitSpec, keeper: Keeper): Promise<Unit> {
    const [program = '', ...args] = spec.command;
    // Only a check: the command runs under the name it was given, which some programs look at.
    findExecutable(program, spec.cwd, spec.env['PATH']);
    const record: UnitRecord = {
      unit: spec.id,
      kind: spec.kind,
      runId: keeper.runId,
      command: spec.command,
      graceMs: spec.graceMs,
      leader: null,
    };
    await writeRecord(keeper.stateDir, record);
    let unit: Unit;
    try {
      unit = await Unit.#startChild(spec, keeper, program, args);
    } catch (error) {
      await removeRecord(keeper.stateDir, spec.id);
      throw error;
    }
    try {
      await writeRecord(keeper.stateDir, { ...record, leader: unit.identity });
    } catch (error) {
      // A process that nobody could find again after a crash must not run.
      await unit.stop({ graceMs: 0 });
      throw error;
    }
    return unit;
  }

  static #startChild(spec: UnitSpec, keeper: Keeper, program: string, args: string[]): Promise<Unit> {
    // Workers hold a GPU and nothing else: the kernel may end them at once. Plain processes may have work to save.
    const deathSignal = keeper.setsDeathSignal ? (spec.kind === 'worker' ? 'KILL' : 'TERM') : null;
    const launch = launchPlan(program, args, deathSignal);
    const child = spawn(launch.file, launch.args, {
      cwd: spec.cwd,
      env: childEnvironment(spec.env, {
        run: `${keeper.experiment}:${keeper.runId}`,
        state: keeper.stateDir.path,
        unit: spec.id,
      }),
      detached: true,
      stdio: [spec.kind === 'worker' ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    });
    // Read in the same turn: even if it has ended by now it is a zombie until the loop turns.
    const identity = child.pid === undefined ? undefined : identify(child.pid);
    if (!identity) {
      return new Promise((_resolve, reject) => {
        const fail = (cause?: Error) =>
          reject(new SpawnError('SPAWN_FAILED', `cannot start ${program}: ${cause?.message ?? 'it was gone at once'}`, cause));
        child.once('error', fail);
        if (child.pid !== undefined) fail();
      });
    }
    child.on('error', () => undefined);
    keeper.reaper.own(child, identityKey(identity));
    keeper.register({ id: spec.id, leader: identity, seen: new Set([identityKey(identity)]) } satisfies KnownUnit);
    return Promise.resolve(new Unit(spec, keeper, child, identity));
  }

  /** The leader and everything attributed to it that lives. */
  members(): Promise<ObservedProcess[]> {
    return this.#keeper.members(this.id);
  }

  /**
   * Stops the whole tree and waits until it is proven empty; also called when the leader has ended, for what it left.
   * Idempotent. The record is removed last, and kept when something could not be ended.
   */
  stop(o: UnitStopOptions): Promise<StopReport> {
    this.#stopping ??= this.#stop(o);
    return this.#stopping;
  }

  async #stop(o: UnitStopOptions): Promise<StopReport> {
    const began = performance.now();
    if (this.#keeper.tier === 'portable' && !onLinux && isRunning(this.identity)) {
      // A supplement while the root lives: the search that follows is what counts.
      await new Promise<void>((sent) => kill(this.identity.pid, o.signal ?? 'SIGTERM', () => sent()));
    }
    const report = await stopTree({
      find: () => this.members(),
      graceMs: o.graceMs,
      force: o.force,
      signal: o.signal,
      childEnded: (signal) => this.#keeper.reaper.childEnded(signal),
      exitOf: (key) => this.#keeper.reaper.exitOf(key),
    });
    // Node learns of the end a moment after /proc shows it.
    if (report.survivors.length === 0) await this.exited;
    for (const outcome of report.processes) if (outcome.pid === this.identity.pid) outcome.exit ??= this.#leaderEnd;
    if (!report.processes.some(({ pid }) => pid === this.identity.pid)) report.processes.unshift(this.#leaderOutcome());
    report.durationMs = Math.round(performance.now() - began);
    if (report.survivors.length === 0) {
      this.#keeper.unregister(this.id);
      await removeRecord(this.#keeper.stateDir, this.id);
    }
    return report;
  }

  /** A leader that ended by itself was sent nothing, but belongs into the report. */
  #leaderOutcome(): ProcessOutcome {
    const { pid, startTicks } = this.identity;
    return {
      pid,
      startTime: onLinux ? startTimeOf(startTicks) : startTicks,
      command: this.#spec.command.join(' '),
      unit: this.id,
      foundBy: 'leader',
      signals: [],
      exit: this.#leaderEnd,
      durationMs: 0,
      outcome: 'ended',
    };
  }
}
