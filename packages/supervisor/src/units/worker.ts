/** A model worker: its channel, load progress, heartbeats, and what its end meant. */
import {
  ProtocolError,
  WORKER_EXIT,
  type ModelMetadata,
  type ProtocolLimits,
  type WorkerErrorCode,
} from '@supervisor/worker/protocol';
import type { Unit } from '../process/unit.js';
import type { UnitLog } from '../telemetry/unit-log.js';
import { WorkerChannel } from '../worker/channel.js';
import { asFailure, UnitFailure } from './failure.js';
import { within } from './deadline.js';
import { startHeartbeat } from './heartbeat.js';
import { EXIT_FOLLOWS_PIPE_MS, lastWords, type Attachment, type Exit } from './supervised.js';

export interface LoadProgress {
  stage: string;
  done: number;
  /** 0 where the worker cannot know. */
  total: number;
  unitOfWork: 'bytes' | 'steps';
}

export interface WorkerOptions {
  limits: ProtocolLimits;
  /** Goes to the worker in its hello. */
  config: Record<string, unknown>;
  heartbeatMs: number;
  log: UnitLog;
  onProgress(progress: LoadProgress): void;
  /** The worker can take requests on this channel. A rejection refuses it, e.g. a replica with another signature. */
  onServing(channel: WorkerChannel, model: ModelMetadata): Promise<void>;
  /** No more requests may be sent on the channel handed out before. */
  onLeaving(): void;
}

/** Worker errors that another start of the same configuration would only repeat. */
const permanentErrors: ReadonlySet<WorkerErrorCode> = new Set([
  'CONFIG_INVALID',
  'MODEL_NOT_FOUND',
  'MODEL_CORRUPT',
  'DEVICE_UNAVAILABLE',
]);

export function attachWorker(unit: Unit, o: WorkerOptions): Attachment {
  if (!unit.stdin) throw new TypeError(`unit ${unit.id} has no stdin to speak the worker protocol on`);
  const channel = new WorkerChannel({
    worker: unit.id,
    stdin: unit.stdin,
    stdout: unit.stdout,
    limits: o.limits,
    config: o.config,
  });
  void o.log.follow(unit.stderr);
  let saidHello = false;
  let serving = false;
  let heartbeat: { close(): void } | null = null;
  let failure: UnitFailure | null = null;
  let becomeReady: () => void = () => {};
  let sayClosed: () => void = () => {};
  const closed = new Promise<void>((resolve) => (sayClosed = resolve));
  let failWith: (failure: UnitFailure) => void = () => {};
  const ready = new Promise<void>((resolve) => (becomeReady = resolve));
  const fault = new Promise<UnitFailure>((resolve) => (failWith = resolve));
  const fail = (reason: UnitFailure) => {
    failure ??= reason;
    leave();
    failWith(failure);
  };
  const leave = () => {
    heartbeat?.close();
    if (serving) o.onLeaving();
    serving = false;
  };

  let begin: () => void = () => {};
  const begun = new Promise<void>((resolve) => (begin = resolve));
  channel.onHello = () => {
    saidHello = true;
    begin();
  };
  channel.onProgress = (message) =>
    o.onProgress({
      stage: message.stage,
      done: message.done,
      total: message.total,
      unitOfWork: message.unit,
    });
  channel.onLog = (message) => o.log.write(`${message.level}: ${message.message}`);
  channel.onReady = (message) => {
    for (const note of message.notes ?? []) o.log.note(note);
    heartbeat = startHeartbeat({
      intervalMs: o.heartbeatMs,
      ping: () => channel.ping(),
      onSilent: (silentMs) => fail(new UnitFailure(`did not answer heartbeats for ${silentMs / 1000} s`)),
    });
    serving = true;
    o.onServing(channel, message.model).then(
      // It may have died while it was being taken into service; leaving then came too early to undo anything.
      () => (serving ? becomeReady() : o.onLeaving()),
      (error: unknown) => fail(asFailure(error)),
    );
  };
  // The worker names its own end before it exits: kept, because it says more than the exit code does.
  channel.onFatal = (error) => {
    failure ??= new UnitFailure(error.message, { permanent: permanentErrors.has(error.code) });
  };
  channel.onClosed = (error) => {
    // A torn or ended stream is what a dying process looks like from here: its exit explains more, if one follows.
    if (error instanceof ProtocolError && error.code !== 'EOF_IN_FRAME')
      failure ??= closedReason(error, saidHello);
    leave();
    failWith(failure ?? closedReason(error, saidHello));
    sayClosed();
  };

  return {
    begun,
    ready,
    fault,
    explainExit: async (exit) => {
      // Frames and lines written just before the exit are still in the pipes; a child may hold them open.
      await within(EXIT_FOLLOWS_PIPE_MS, closed);
      return failure ?? explainExit(exit, saidHello, o.log);
    },
    detach: leave,
    close: () => {
      leave();
      channel.close();
      unit.stderr.destroy();
    },
  };
}

/** A stream that ended or broke while the process may still run. Garbage before the hello will not get better. */
function closedReason(error: Error | undefined, saidHello: boolean): UnitFailure {
  if (!error) return new UnitFailure('closed its output');
  const permanent = error instanceof ProtocolError && (!saidHello || error.code === 'VERSION');
  return new UnitFailure(error.message, { permanent, cause: error });
}

function explainExit(exit: Exit, saidHello: boolean, log: UnitLog): UnitFailure {
  const when = saidHello ? '' : ' before it said hello';
  return new UnitFailure(lastWords(exit, log, when), { permanent: exit.code === WORKER_EXIT.CONFIG });
}
