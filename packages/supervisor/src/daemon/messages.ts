/**
 * What the guardian and the daemon say to each other over the daemon's IPC channel.
 *
 * The channel's end is itself a message: when the guardian dies the daemon sees `disconnect` and stops in order;
 * when the daemon dies the guardian sees its exit and cleans up what is left.
 */
import type { Experiment } from '../config/experiment.js';
import type { Receipt } from '../process/receipt.js';

/** Everything the daemon needs to begin. Sent once, right after the daemon was spawned. */
export interface DaemonStart {
  /** Absolute path of `<state-dir>/<name>`. */
  stateDir: string;
  experiment: Experiment;
  /** Absolute path of the experiment file; relative paths in it are resolved against its folder. */
  source: string;
  /** The `--set key=value` overrides, kept so that `restart` reads the file the same way. */
  sets: string[];
  /** Version of the product, as clients see it in the server's metadata. */
  version: string;
  /** Random id of this run; part of the cookie in every child's environment. */
  runId: string;
  /** True when nobody is attached to a terminal: SIGHUP is then kept for reload. */
  detached: boolean;
  /** Whether the daemon's log lines also go to stderr: on a terminal only when told so, after the live progress has ended. */
  logToStderr: 'never' | 'always' | 'when-told';
}

export type GuardianMessage =
  | { type: 'start'; start: DaemonStart }
  | { type: 'stop'; reason: string; force: boolean }
  /** The terminal is free: log lines may go to it from now on. */
  | { type: 'show-log' };

/** Where clients reach the experiment. Ports are the real ones, also where 0 was asked for. */
export interface Endpoints {
  grpc?: { host: string; port: number };
}

export type DaemonMessage =
  /** A unit changed state. `detail` is for people: what went wrong, or which device it loads on. */
  | { type: 'unit'; unit: string; state: string; detail?: string }
  /** Load progress of a worker; `total` 0 means unknown. */
  | {
      type: 'progress';
      unit: string;
      stage: string;
      done: number;
      total: number;
      unitOfWork: 'bytes' | 'steps';
    }
  | { type: 'ready'; endpoints: Endpoints; durationMs: number }
  | { type: 'stopping'; reason: string }
  /** The start was refused or failed for good; the daemon stops what it had started and then ends. */
  | { type: 'failed'; code: string; message: string; exitCode: number }
  /** The last message: what was stopped and how. */
  | { type: 'stopped'; receipt: Receipt; exitCode: number };
