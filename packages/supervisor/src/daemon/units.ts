/** Makes the supervised units that an experiment asks for, each with its log, its messages and its status line. */
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ProtocolLimits } from '@supervisor/worker/protocol';
import type { ModelInstance, ProcessDefinition } from '../config/experiment.js';
import type { Keeper } from '../process/keeper.js';
import type { UnitSpec } from '../process/unit.js';
import type { StateDir } from '../state/directory.js';
import type { DaemonLog } from '../telemetry/daemon-log.js';
import { UnitLog } from '../telemetry/unit-log.js';
import type { Usage } from '../telemetry/usage.js';
import { attachProcess } from '../units/process.js';
import { RestartPolicy } from '../units/restart-policy.js';
import type { SpawnGate } from '../units/spawn-gate.js';
import type { UnitState } from '../units/state.js';
import { Supervised, type Attachment } from '../units/supervised.js';
import { attachWorker, type LoadProgress } from '../units/worker.js';
import type { WorkerChannel } from '../worker/channel.js';
import type { GuardianLink } from './guardian-link.js';
import type { DaemonStart } from './messages.js';
import type { ModelPool } from './model-pool.js';
import { asReplica } from './replica.js';
import type { UnitStatus } from './status.js';

export interface ManagedUnit {
  /** Name in the experiment file; its replicas share it. */
  definition: string;
  supervised: Supervised;
  log: UnitLog;
  /** Resolves when the unit's first process runs, or it has ended without one. */
  spawned: Promise<void>;
  /** Resolves when the unit is ready for the first time; never where it does not come to that. */
  ready: Promise<void>;
  status(usage: Map<number, Usage>): UnitStatus;
  /** Stops the present run and waits until the next one is ready, or the unit has ended for good. */
  restart(): Promise<void>;
}

export interface UnitContext {
  keeper: Keeper;
  gate: SpawnGate;
  start: DaemonStart;
  dir: StateDir;
  link: GuardianLink;
  log: DaemonLog;
}

export function createProcessUnits(context: UnitContext): ManagedUnit[] {
  const { experiment, source } = context.start;
  return (experiment.processes ?? []).flatMap((definition) =>
    replicaIds(definition).map((id) => {
      const cwd = resolve(dirname(source), definition.cwd ?? '.');
      const spec = unitSpec(context, {
        id,
        kind: 'process',
        cwd,
        command: definition.command,
        env: definition.env,
      });
      return manage(context, {
        definition: definition.name,
        spec,
        model: null,
        attach: (unit, log) => attachProcess(unit, { probe: definition.ready, cwd, log }),
      });
    }),
  );
}

export function createWorkerUnits(
  context: UnitContext,
  pool: ModelPool,
  limits: ProtocolLimits,
): ManagedUnit[] {
  const { experiment, source } = context.start;
  return (experiment.model_pool?.instances ?? []).flatMap((instance) =>
    replicaIds(instance).map((id) => {
      const spec = unitSpec(context, {
        id,
        kind: 'worker',
        cwd: dirname(source),
        command: instance.command ?? builtInWorker(),
        env: instance.env,
      });
      let progress: LoadProgress | null = null;
      let channel: WorkerChannel | null = null;
      let completed = 0;
      return manage(context, {
        definition: instance.name,
        spec,
        model: instance.name,
        progress: () => progress,
        requests: () => ({ inFlight: channel?.inFlight ?? 0, completed }),
        attach: (unit, log) =>
          attachWorker(unit, {
            limits,
            config: workerConfig(instance),
            heartbeatMs: experiment.supervision.heartbeat_s * 1000,
            log,
            onProgress: (next) => {
              progress = next;
              context.link.send({ type: 'progress', unit: id, ...next });
            },
            onServing: async (serving, metadata) => {
              progress = null;
              channel = serving;
              const replica = asReplica(id, serving, limits, () => completed++);
              await pool.join(instance.name, metadata, replica);
            },
            onLeaving: () => {
              channel = null;
              void pool.leave(instance.name, id);
            },
          }),
      });
    }),
  );
}

interface UnitParts {
  definition: string;
  spec: UnitSpec;
  model: string | null;
  attach(unit: Parameters<typeof attachProcess>[0], log: UnitLog): Attachment;
  progress?(): LoadProgress | null;
  requests?(): { inFlight: number; completed: number };
}

function manage(context: UnitContext, parts: UnitParts): ManagedUnit {
  const { start, link, keeper, gate } = context;
  const { supervision } = start.experiment;
  const { id } = parts.spec;
  const log = new UnitLog({
    unit: id,
    filename: context.dir.unitLog(id),
    onLine: (unit, line) => context.log.unitLine(unit, line),
    onError: (error) => context.log.fileLost(`of ${id}`, error),
  });
  const listeners = new Set<(state: UnitState) => void>();
  const reached = (kinds: UnitState['kind'][]) =>
    new Promise<void>((done) => {
      const look = (state: UnitState) => {
        if (!kinds.includes(state.kind)) return;
        listeners.delete(look);
        done();
      };
      listeners.add(look);
    });
  const supervised = new Supervised({
    spec: parts.spec,
    keeper,
    gate,
    policy: new RestartPolicy({
      policy: supervision.restart.policy,
      maxRestarts: supervision.restart.max_restarts,
      windowMs: supervision.restart.window_s * 1000,
      backoffMs: supervision.restart.backoff_s * 1000,
      maxBackoffMs: supervision.restart.max_backoff_s * 1000,
    }),
    graceMs: supervision.grace_s * 1000,
    loadTimeoutMs: supervision.load_timeout_s * 1000,
    attach: (unit) => {
      log.beginRun();
      return parts.attach(unit, log);
    },
    onState: (state, previous) => {
      const { kind, ...details } = state;
      const level = kind === 'failed' ? 'error' : kind === 'crashed' ? 'warn' : 'info';
      context.log.log(level, kind, { unit: id, from: previous.kind, ...details });
      const detail = describe(state, supervision.restart.max_restarts);
      link.send({ type: 'unit', unit: id, state: kind, ...(detail ? { detail } : {}) });
      for (const look of [...listeners]) look(state);
    },
  });
  return {
    definition: parts.definition,
    supervised,
    log,
    spawned: reached(['loading', 'failed', 'gone']),
    ready: reached(['ready']),
    status: (usage) => unitStatus(supervised, parts, usage),
    restart: async () => {
      const again = reached(['ready', 'failed', 'gone']);
      supervised.restart();
      await again;
      if (supervised.state.kind === 'failed') throw new Error(`${id}: ${supervised.state.reason}`);
    },
  };
}

function unitStatus(supervised: Supervised, parts: UnitParts, usage: Map<number, Usage>): UnitStatus {
  const { state, pid } = supervised;
  const used = pid === null ? undefined : usage.get(pid);
  const requests = parts.requests?.();
  return {
    id: supervised.id,
    kind: parts.spec.kind,
    model: parts.model,
    state: state.kind,
    pid,
    restarts: supervised.restarts,
    uptimeMs: state.kind === 'ready' ? Date.now() - state.sinceMs : null,
    cpuPercent: used?.cpuPercent ?? null,
    memoryBytes: used?.memoryBytes ?? null,
    inFlight: requests?.inFlight ?? null,
    completed: requests?.completed ?? null,
    lastError: supervised.lastError,
    progress: state.kind === 'loading' ? (parts.progress?.() ?? null) : null,
  };
}

function describe(state: UnitState, maxRestarts: number): string | undefined {
  switch (state.kind) {
    case 'crashed':
    case 'failed':
      return state.reason;
    case 'backing-off': {
      const seconds = Math.max(0, state.untilMs - Date.now()) / 1000;
      return `${state.reason}; restarting in ${seconds.toFixed(1)} s (${state.attempt} of ${maxRestarts})`;
    }
    default:
      return undefined;
  }
}

function replicaIds({ name, replicas }: { name: string; replicas: number }): string[] {
  return Array.from({ length: replicas }, (_, index) => `${name}/${index}`);
}

function unitSpec(
  { start }: UnitContext,
  unit: Pick<UnitSpec, 'id' | 'kind' | 'cwd' | 'command'> & { env: ProcessDefinition['env'] },
): UnitSpec {
  const inherited = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  return {
    ...unit,
    env: { ...Object.fromEntries(inherited), ...unit.env },
    graceMs: start.experiment.supervision.grace_s * 1000,
  };
}

/** Our own worker, for instances that name no command. */
function builtInWorker(): string[] {
  return [process.execPath, fileURLToPath(import.meta.resolve('@supervisor/worker/main'))];
}

/** What a worker is told in its hello; a worker of the user's own gets its free-form settings. */
function workerConfig(instance: ModelInstance): Record<string, unknown> {
  if (instance.command) return instance.config;
  const { name: _name, env: _env, config: _config, replicas: _replicas, ...config } = instance;
  return config;
}
