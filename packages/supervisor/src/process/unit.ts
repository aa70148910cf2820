/** One supervised process and its whole tree, from spawn to proven empty. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import kill from 'tree-kill';
import { removeRecord, writeRecord, type UnitRecord } from '../state/records.js';
import { findExecutable, SpawnError } from './executable.js';
import { identify, identityKey, isRunning, type ProcessIdentity } from './identity.js';
import type { Keeper } from './keeper.js';
import { childEnvironment, launchPlan } from './launch.js';
import { onLinux, openPidfd, signalPidfdGroup } from './libc.js';
import type { ObservedProcess } from './observe.js';
import { readPipes, startTimeOf } from './proc.js';
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
  readonly #pipes: string[];
  /** A pidfd of the leader, which goes on meaning its process group when the leader has ended; null where there is none. */
  #group: number | null;
  readonly #force = new AbortController();
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
    this.#pipes = onLinux ? readPipes(identity.pid) : [];
    const group = onLinux ? openPidfd(identity.pid) : 'refused';
    this.#group = typeof group === 'number' ? group : null;
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
    const [program = ''] = spec.command;
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
      unit = await Unit.#startChild(spec, keeper);
    } catch (error) {
      await removeRecord(keeper.stateDir, spec.id).catch(() => undefined);
      throw error;
    }
    try {
      await writeRecord(keeper.stateDir, { ...record, leader: unit.identity, pipes: unit.#pipes });
    } catch (error) {
      // A process that nobody could find again after a crash must not run.
      await unit.stop({ graceMs: 0 });
      for (const stream of [unit.stdin, unit.stdout, unit.stderr]) stream?.destroy();
      throw error;
    }
    return unit;
  }

  static async #startChild(spec: UnitSpec, keeper: Keeper): Promise<Unit> {
    const env = childEnvironment(spec.env, {
      run: `${keeper.experiment}:${keeper.runId}`,
      state: keeper.stateDir.path,
      unit: spec.id,
    });
    // Workers hold a GPU and nothing else: the kernel may end them at once. Plain processes may have work to save.
    const deathSignal = keeper.deathSignal(spec.kind === 'worker' ? 'KILL' : 'TERM');
    const launch = launchPlan(spec.command, env, deathSignal);
    let child: ChildProcess;
    try {
      child = spawn(launch.file, launch.args, {
        cwd: spec.cwd,
        env,
        detached: true,
        stdio: [spec.kind === 'worker' ? 'pipe' : 'ignore', 'pipe', 'pipe'],
      });
    } catch (error) {
      // E.g. a NUL byte in an argument, or arguments too long for the system.
      throw spawnFailed(spec, error);
    }
    if (child.pid === undefined) throw spawnFailed(spec, await failureOf(child));
    child.on('error', () => undefined);
    let identity: ProcessIdentity | undefined;
    try {
      // Read in the same turn: even if it has ended by now it is a zombie until the loop turns.
      identity = identify(child.pid);
      if (!identity) throw new Error('it cannot be seen in the process table');
    } catch (error) {
      // Not yet reaped, so that the pid still means it.
      child.kill('SIGKILL');
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
      throw spawnFailed(spec, error);
    }
    const unit = new Unit(spec, keeper, child, identity);
    keeper.reaper.own(child, identityKey(identity));
    keeper.register({
      id: spec.id,
      leader: identity,
      seen: new Set([identityKey(identity)]),
      pipes: unit.#pipes,
    });
    return unit;
  }

  /** The leader and everything attributed to it that lives. */
  members(): Promise<ObservedProcess[]> {
    return this.#keeper.members(this.id);
  }

  /**
   * Stops the whole tree and waits until it is proven empty; also called when the leader has ended, for what it left.
   * Idempotent; a later call can still force. The record is removed last, and kept when something could not be ended.
   */
  stop(o: UnitStopOptions): Promise<StopReport> {
    const force = () => this.#force.abort();
    if (o.force?.aborted) force();
    else o.force?.addEventListener('abort', force, { once: true });
    this.#stopping ??= this.#stop(o);
    return this.#stopping.finally(() => o.force?.removeEventListener('abort', force));
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
      force: this.#force.signal,
      signal: o.signal,
      killGroup: () => {
        if (this.#group !== null) signalPidfdGroup(this.#group, 'SIGKILL');
      },
      childEnded: (signal) => this.#keeper.reaper.childEnded(signal),
      reaped: () => this.#keeper.reaper.reaped(),
      exitOf: (key) => this.#keeper.reaper.exitOf(key),
    });
    if (this.#group !== null) closeSync(this.#group);
    this.#group = null;
    // Node learns of the end a moment after /proc shows it.
    if (report.survivors.length === 0) await this.exited;
    for (const outcome of report.processes)
      if (outcome.pid === this.identity.pid) outcome.exit ??= this.#leaderEnd;
    if (!report.processes.some(({ pid }) => pid === this.identity.pid))
      report.processes.unshift(this.#leaderOutcome());
    report.durationMs = Math.round(performance.now() - began);
    if (report.survivors.length === 0) {
      this.#keeper.unregister(this.id);
      // One that cannot be removed now goes with the others at the end of the run.
      await removeRecord(this.#keeper.stateDir, this.id).catch(() => undefined);
    }
    return report;
  }

  /** A leader that ended by itself was sent nothing, but belongs into the report. */
  #leaderOutcome(): ProcessOutcome {
    const { pid, startTicks } = this.identity;
    return {
      pid,
      startTime: startTimeOf(startTicks),
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

function spawnFailed({ command: [program] }: UnitSpec, cause: unknown): SpawnError {
  return new SpawnError('SPAWN_FAILED', `cannot start ${program}: ${(cause as Error).message}`, cause);
}

function failureOf(child: ChildProcess): Promise<Error> {
  return new Promise((resolve) => child.once('error', resolve));
}
