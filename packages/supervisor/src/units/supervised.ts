/**
 * One supervised unit (a model worker or a plain process) through all its runs: spawn, wait until ready, watch,
 * stop what is left of the tree, restart by policy. What a run means beyond that (frames, readiness probes) is the
 * attachment's business.
 */
import { SpawnError, Unit, type UnitSpec } from '../process/unit.js';
import type { Keeper } from '../process/keeper.js';
import type { StopReport } from '../process/receipt.js';
import type { UnitLog } from '../telemetry/unit-log.js';
import { aborted, deadline, elapsed, within } from './deadline.js';
import { asFailure, UnitFailure } from './failure.js';
import type { RestartPolicy } from './restart-policy.js';
import type { SpawnGate } from './spawn-gate.js';
import { hasEnded, transition, type UnitState } from './state.js';

/** What a kind of unit adds to a running process. */
export interface Attachment {
  /** Resolves when the process has begun to run its own code; the next spawn waits for it. */
  readonly begun: Promise<void>;
  /** Resolves when the unit can be used; rejects with why it cannot. */
  readonly ready: Promise<void>;
  /** Resolves with the reason when the unit must be replaced although its process runs, or said why it ends. */
  readonly fault: Promise<UnitFailure>;
  /** Explains an exit of the leader; undefined where it was a success. */
  explainExit(exit: Exit): Promise<UnitFailure | undefined>;
  /** Called before the tree is stopped: no more work is to reach it. */
  detach(): void;
  /** Releases everything the attachment holds; called once the tree is empty. */
  close(): void;
}

export interface Exit {
  code: number | null;
  signal: string | null;
}

export interface SupervisedOptions {
  spec: UnitSpec;
  keeper: Keeper;
  gate: SpawnGate;
  policy: RestartPolicy;
  graceMs: number;
  loadTimeoutMs: number;
  attach(unit: Unit): Attachment;
  onState(state: UnitState, previous: UnitState): void;
}

type RunEnd = { kind: 'stopped' } | { kind: 'ended'; exit: Exit } | { kind: 'failed'; failure: UnitFailure };

export class Supervised {
  readonly id: string;
  readonly #o: SupervisedOptions;
  readonly #force = new AbortController();
  #stopRequested = false;
  /** Ends the present run: fired by `restart` and `stop`. A fresh one for each run, so that listeners die with it. */
  #runStop = new AbortController();
  #unit: Unit | null = null;
  #state: UnitState = { kind: 'waiting' };
  #running: Promise<void> | null = null;
  #restarts = 0;
  #lastError: string | null = null;
  #stopReport: StopReport | null = null;
  /** How the latest run's leader ended. */
  #leaderExit: Exit | null = null;

  constructor(options: SupervisedOptions) {
    this.id = options.spec.id;
    this.#o = options;
  }

  get state(): UnitState {
    return this.#state;
  }

  /** Restarts so far, asked for or by policy. */
  get restarts(): number {
    return this.#restarts;
  }

  get lastError(): string | null {
    return this.#lastError;
  }

  get pid(): number | null {
    return this.#unit?.identity.pid ?? null;
  }

  /** How the latest run's tree was stopped. */
  get stopReport(): StopReport | null {
    return this.#stopReport;
  }

  /** Begins the unit's life. The promise settles when it has ended for good; it does not reject. */
  start(): Promise<void> {
    this.#running ??= this.#live();
    return this.#running;
  }

  /** Ends this run and begins another at once, uncounted by the policy. */
  restart(): void {
    this.#runStop.abort();
  }

  /** Ends the unit for good; resolves when its tree is proven empty (or named unkillable in the reports). */
  async stop(force: AbortSignal): Promise<void> {
    if (force.aborted) this.#force.abort();
    else force.addEventListener('abort', () => this.#force.abort(), { once: true });
    this.#stopRequested = true;
    this.#runStop.abort();
    if (this.#running) await this.#running;
    else if (!hasEnded(this.#state)) {
      this.#become({ kind: 'stopping', pid: null });
      this.#become({ kind: 'gone', exit: this.#leaderExit });
    }
  }

  async #live(): Promise<void> {
    for (;;) {
      // A stop that arrives between two runs finds no run to end.
      if (this.#stopRequested) {
        this.#become({ kind: 'stopping', pid: null });
        return this.#become({ kind: 'gone', exit: this.#leaderExit });
      }
      this.#become({ kind: 'spawning' });
      const end = await this.#runOnce();
      if (this.#stopRequested) {
        if (this.#state.kind !== 'stopping') this.#become({ kind: 'stopping', pid: null });
        return this.#become({ kind: 'gone', exit: this.#leaderExit });
      }
      if (end.kind === 'stopped') this.#restarts++;
      else if (!(await this.#backOff(end))) return;
      this.#runStop = new AbortController();
    }
  }

  /** Decides what follows a run's end. True: go on with another run. */
  async #backOff(end: Exclude<RunEnd, { kind: 'stopped' }>): Promise<boolean> {
    const failed = end.kind === 'failed';
    const permanent = failed && end.failure.permanent;
    const reason = failed ? end.failure.message : 'ended by itself with code 0';
    const decision = this.#o.policy.decide({ failed, permanent }, Date.now());
    if (decision.kind === 'end') {
      this.#become({ kind: 'gone', exit: this.#leaderExit });
      return false;
    }
    if (decision.kind === 'give-up') {
      this.#become({ kind: 'failed', reason: permanent ? reason : `${reason}; given up: ${decision.why}` });
      return false;
    }
    const untilMs = Date.now() + decision.delayMs;
    this.#become({ kind: 'backing-off', reason, untilMs, attempt: decision.attempt });
    await elapsed(decision.delayMs, this.#runStop.signal);
    if (this.#stopRequested) {
      this.#become({ kind: 'stopping', pid: null });
      this.#become({ kind: 'gone', exit: this.#leaderExit });
      return false;
    }
    this.#restarts++;
    return true;
  }

  /** One process tree from spawn to proven empty. */
  async #runOnce(): Promise<RunEnd> {
    const leaveGate = await this.#o.gate.enter(this.#runStop.signal);
    if (this.#runStop.signal.aborted) {
      leaveGate();
      this.#become({ kind: 'stopping', pid: null });
      return { kind: 'stopped' };
    }
    let unit: Unit;
    try {
      unit = await Unit.spawn(this.#o.spec, this.#o.keeper);
    } catch (error) {
      leaveGate();
      const permanent = error instanceof SpawnError && error.code !== 'SPAWN_FAILED';
      const failure = new UnitFailure((error as Error).message, { permanent, cause: error });
      return this.#crashed(failure);
    }
    this.#unit = unit;
    const attachment = this.#o.attach(unit);
    void Promise.race([attachment.begun, unit.exited, aborted(this.#runStop.signal)]).then(leaveGate);
    this.#become({ kind: 'loading', pid: unit.identity.pid, sinceMs: Date.now() });
    let end: RunEnd;
    try {
      end = await this.#watch(unit, attachment);
      if (end.kind === 'stopped') this.#become({ kind: 'stopping', pid: unit.identity.pid });
      else if (end.kind === 'failed') this.#crashed(end.failure);
      else this.#become({ kind: 'ended', exitCode: end.exit.code });
    } finally {
      attachment.detach();
      const report = await unit.stop({ graceMs: this.#o.graceMs, force: this.#force.signal });
      this.#stopReport = report;
      this.#leaderExit = report.processes.find(({ pid }) => pid === unit.identity.pid)?.exit ?? null;
      attachment.close();
      this.#unit = null;
    }
    return end;
  }

  async #watch(unit: Unit, attachment: Attachment): Promise<RunEnd> {
    const ended = unit.exited.then((exit) => this.#explain(attachment, exit));
    const fault = attachment.fault.then((failure): RunEnd => ({ kind: 'failed', failure }));
    const stopped = aborted(this.#runStop.signal).then((): RunEnd => ({ kind: 'stopped' }));
    const timeout = deadline(this.#o.loadTimeoutMs);
    const loaded = attachment.ready.then(
      () => null,
      (error: unknown): RunEnd => ({ kind: 'failed', failure: asFailure(error) }),
    );
    const late = timeout.expired.then((): RunEnd => ({
      kind: 'failed',
      failure: new UnitFailure(
        `was not ready within ${this.#o.loadTimeoutMs / 1000} s (supervision.load_timeout_s)`,
      ),
    }));
    const first = await Promise.race([stopped, loaded, ended, fault, late]);
    timeout.cancel();
    if (first) return this.#preferExit(first, unit, attachment);
    this.#become({ kind: 'ready', pid: unit.identity.pid, sinceMs: Date.now() });
    const end = await Promise.race([stopped, ended, fault]);
    return this.#preferExit(end, unit, attachment);
  }

  /** A pipe breaks a moment before its process is seen to exit: the exit says more, so it gets a short chance. */
  async #preferExit(end: RunEnd, unit: Unit, attachment: Attachment): Promise<RunEnd> {
    if (end.kind !== 'failed' || end.failure.permanent) return end;
    const exit = await within(EXIT_FOLLOWS_PIPE_MS, unit.exited);
    return exit ? this.#explain(attachment, exit) : end;
  }

  async #explain(attachment: Attachment, exit: Exit): Promise<RunEnd> {
    const failure = await attachment.explainExit(exit);
    return failure ? { kind: 'failed', failure } : { kind: 'ended', exit };
  }

  #crashed(failure: UnitFailure): RunEnd {
    this.#lastError = failure.message;
    this.#become({ kind: 'crashed', reason: failure.message });
    return { kind: 'failed', failure };
  }

  #become(next: UnitState): void {
    const previous = this.#state;
    this.#state = transition(this.id, previous, next);
    this.#o.onState(next, previous);
  }
}

/** How long the two signs of a process's end, its exit and the end of its pipes, may lie apart. */
export const EXIT_FOLLOWS_PIPE_MS = 1000;

export function describeExit(exit: Exit): string {
  return exit.signal === null ? `code ${exit.code}` : `signal ${exit.signal}`;
}

/** The exit with the last lines that the unit wrote, which most often hold the reason. */
export function lastWords(exit: Exit, log: UnitLog, when = ''): string {
  const lines = log.lastLines();
  const said = lines.length > 0 ? `; its last lines: ${lines.join(' | ')}` : '';
  return `exited with ${describeExit(exit)}${when}${said}`;
}
