/** The signed-off stop: each process that was ended, with how it was found, what it was sent and how it ended. */

/** One process of an experiment's tree and how it ended. */
export interface ProcessOutcome {
  pid: number;
  /** ISO 8601, from the kernel's start time. */
  startTime: string;
  command: string;
  /** Unit the process belonged to, e.g. `ocr/0`; null when it could not be told. */
  unit: string | null;
  foundBy: 'leader' | 'group' | 'session' | 'descendant' | 'cookie' | 'adopted' | 'record';
  /** Signals sent, in order. */
  signals: string[];
  /** Null when we were not its parent and could not know. */
  exit: { code: number | null; signal: string | null } | null;
  /** From the first signal to the end. */
  durationMs: number;
  outcome: 'ended' | 'unkillable';
}

export interface StopReport {
  processes: ProcessOutcome[];
  /** The ones among `processes` that are still there; empty after a clean stop. */
  survivors: ProcessOutcome[];
  durationMs: number;
}

/** Written to `receipts/last.json` and printed by `stop`, `run` and `reap`. */
export interface Receipt extends StopReport {
  experiment: string;
  runId: string;
  /** Why the stop happened, e.g. `SIGTERM`, `stop command`, `daemon died`. */
  reason: string;
  /** Who did the work. */
  by: 'daemon' | 'guardian' | 'stop' | 'reconcile';
  startedAt: string;
  finishedAt: string;
  /** Ports that were bound by the experiment, and whether they are free now. */
  ports: { port: number; free: boolean }[];
  /** Files and folders removed from the state directory, relative to it. */
  filesRemoved: string[];
}
