/**
 * One run of an experiment, from the directory lock to the removed PID file: the composition root of the daemon.
 * `start` builds it up step by step; `stop` takes down whatever was built, however far that went.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { InferenceServer } from '@supervisor/server';
import { DEFAULT_LIMITS, type ProtocolLimits } from '@supervisor/worker/protocol';
import type { Experiment } from '../config/experiment.js';
import { ContainmentError, Keeper } from '../process/keeper.js';
import type { Receipt, StopReport } from '../process/receipt.js';
import { StateDir } from '../state/directory.js';
import { DaemonLog, type LogLevel } from '../telemetry/daemon-log.js';
import { closeUsage, sampleUsage } from '../telemetry/usage.js';
import { aborted } from '../units/deadline.js';
import { SpawnGate } from '../units/spawn-gate.js';
import { hasEnded } from '../units/state.js';
import { claimName, type Claim } from './claim.js';
import { ControlServer, type ControlRequest } from './control.js';
import type { GuardianLink } from './guardian-link.js';
import { bindListener, isPortFree, type BoundListener } from './listen.js';
import type { DaemonStart, Endpoints } from './messages.js';
import { ModelPool } from './model-pool.js';
import { StartFailure } from './start-failure.js';
import type { StatusReport } from './status.js';
import type { StopRequest } from './stop-request.js';
import { createProcessUnits, createWorkerUnits, type ManagedUnit } from './units.js';

export class ExperimentRun {
  readonly #start: DaemonStart;
  readonly #experiment: Experiment;
  readonly #dir: StateDir;
  readonly #link: GuardianLink;
  readonly #stop: StopRequest;
  readonly #startedAt = new Date();
  #phase: StatusReport['state'] = 'starting';
  #claim: Claim | null = null;
  #log: DaemonLog | null = null;
  #keeper: Keeper | null = null;
  #listener: BoundListener | null = null;
  #control: ControlServer | null = null;
  #server: InferenceServer | null = null;
  #pool: ModelPool | null = null;
  #units: ManagedUnit[] = [];

  constructor(start: DaemonStart, link: GuardianLink, stop: StopRequest) {
    this.#start = start;
    this.#experiment = start.experiment;
    this.#dir = StateDir.open(start.stateDir);
    this.#link = link;
    this.#stop = stop;
  }

  /** Resolves when everything is ready, or as soon as a stop is requested; throws `StartFailure` otherwise. */
  async start(): Promise<void> {
    this.#claim = await claimName(this.#dir, this.#start, this.#stop.force);
    this.#log = new DaemonLog({
      filename: join(this.#dir.logsDir, 'daemon.log'),
      toStderr: this.#start.logToStderr === 'always',
    });
    this.#link.onShowLog(() => this.#log?.showOnStderr());
    const { server } = this.#experiment;
    if (server) this.#listener = await bindListener(server.host, server.grpc_port);
    this.#keeper = await this.#openKeeper();
    this.#control = await ControlServer.open(this.#dir.controlSocket, (request) => this.#answer(request));
    this.log('info', 'starting', {
      experiment: this.#experiment.name,
      pid: process.pid,
      containment: this.#keeper.tier,
      degraded: this.#keeper.degraded,
      listening: this.#endpoints(),
    });
    if (this.#stop.requested.aborted) return;
    await this.#startUnits(this.#keeper);
    if (this.#stop.requested.aborted) return;
    this.#phase = 'ready';
    const durationMs = Date.now() - this.#startedAt.getTime();
    this.log('info', 'ready', { durationMs, listening: this.#endpoints() });
    this.#link.send({ type: 'ready', endpoints: this.#endpoints(), durationMs });
  }

  /** Resolves when every unit has ended for good. True where one of them failed. */
  async ended(): Promise<boolean> {
    await Promise.all(this.#units.map(({ supervised }) => supervised.start()));
    return this.#units.some(({ supervised }) => supervised.state.kind === 'failed');
  }

  /**
   * Takes everything down in order: refuse and drain requests, stop all trees at once (each with its own deadline),
   * prove that nothing is left, free the port, remove what lies in the state directory. Returns null where the name
   * was never ours. Does not throw: what cannot be done is logged and the next step goes on.
   */
  async stop(): Promise<Receipt | null> {
    if (!this.#claim) return null;
    this.#phase = 'stopping';
    const began = Date.now();
    const reason = this.#stop.reason;
    this.log('info', 'stopping', { reason });
    this.#link.send({ type: 'stopping', reason });

    await this.#step('drain', () => this.#drain());
    const graceMs = this.#experiment.supervision.grace_s * 1000;
    const termBy = performance.now() + graceMs;
    const reports: StopReport[] = [];
    await this.#step('stop units', async () => {
      const strays = this.#keeper?.stopStrays({ graceMs, force: this.#stop.force });
      await Promise.all(this.#units.map(({ supervised }) => supervised.stop(this.#stop.force)));
      if (strays) reports.push(await strays);
      for (const { supervised } of this.#units)
        if (supervised.stopReport) reports.push(supervised.stopReport);
    });
    await this.#step('sweep', async () => {
      // What was forked during the stop shares the grace that is left; the guardian counts on one, not on two.
      const leftMs = Math.max(0, termBy - performance.now());
      if (this.#keeper) reports.push(await this.#keeper.sweep({ graceMs: leftMs, force: this.#stop.force }));
    });
    await this.#step('close the server', () => this.#server?.close());
    await this.#step('close the listener', () => this.#listener?.close());
    await this.#step('close the control socket', () => this.#control?.close());
    closeUsage();

    const receipt = await this.#receipt(reports, reason, began);
    await this.#step('release the name', async () => {
      receipt.filesRemoved = (await this.#claim?.release(receipt)) ?? [];
    });
    for (const survivor of receipt.survivors) {
      this.log('error', 'UNKILLABLE: a process could not be ended', { ...survivor });
    }
    this.log('info', 'stopped', { durationMs: receipt.durationMs, processes: receipt.processes.length });
    this.#keeper?.close();
    await Promise.all(this.#units.map(({ log }) => log.close()));
    await this.#log?.close();
    return receipt;
  }

  log(level: LogLevel, message: string, fields?: Record<string, unknown>): void {
    this.#log?.log(level, message, fields);
  }

  async #openKeeper(): Promise<Keeper> {
    try {
      return await Keeper.open({
        stateDir: this.#dir,
        experiment: this.#experiment.name,
        runId: this.#start.runId,
        containment: this.#experiment.supervision.containment,
      });
    } catch (error) {
      if (!(error instanceof ContainmentError)) throw error;
      throw new StartFailure('CONTAINMENT', error.message, error);
    }
  }

  async #startUnits(keeper: Keeper): Promise<void> {
    const { model_pool: models, server: serverConfig, supervision } = this.#experiment;
    const gate = new SpawnGate(supervision.spawn_parallel ?? Math.max(2, availableParallelism()));
    const shared = {
      keeper,
      gate,
      start: this.#start,
      dir: this.#dir,
      link: this.#link,
      log: this.#log as DaemonLog,
    };
    const processes = createProcessUnits(shared);
    this.#units.push(...processes);
    // In the order of the file: a process that others need stands above them.
    for (const group of grouped(processes)) await this.#untilReady(group);

    if (!models || !serverConfig || this.#stop.requested.aborted) return;
    let serve: (server: InferenceServer) => void = () => undefined;
    const limits = { ...DEFAULT_LIMITS, ...workerLimits(serverConfig.max_message_mb) };
    this.#pool = new ModelPool(new Promise<InferenceServer>((resolve) => (serve = resolve)), {
      routing: models.routing_strategy,
      maxQueueSize: serverConfig.max_queue_size,
    });
    const workers = createWorkerUnits(shared, this.#pool, limits);
    this.#units.push(...workers);
    const ready = this.#untilReady(workers);
    // Loading the gRPC stack blocks the event loop: it comes after the first spawn, while the workers load.
    await Promise.race([ready, ...workers.map(({ spawned }) => spawned)]);
    const { InferenceServer: Server } = await import('@supervisor/server');
    const server = new Server({
      version: this.#start.version,
      log: (level, message, fields) => this.log(level, message, fields),
      limits: { maxMessageBytes: serverConfig.max_message_mb * 1024 * 1024 },
    });
    // Ready means all of them: one that still loads must be known before its sibling joins.
    for (const { name } of models.instances) server.declareModel(name);
    this.#server = server;
    this.#listener?.handOver((listener) => server.serve(listener));
    serve(server);
    await ready;
  }

  /** Starts units and waits until each is ready or has ended well; a stop ends the waiting. */
  async #untilReady(units: ManagedUnit[]): Promise<void> {
    const each = units.map(async ({ supervised, ready }) => {
      await Promise.race([ready, supervised.start()]);
      const { state } = supervised;
      if (state.kind === 'failed') throw new StartFailure('UNIT_FAILED', `${supervised.id}: ${state.reason}`);
    });
    await Promise.race([Promise.all(each), aborted(this.#stop.requested)]);
  }

  async #drain(): Promise<void> {
    if (!this.#server) return;
    const drainMs = this.#stop.force.aborted ? 0 : this.#experiment.supervision.drain_s * 1000;
    const drained = this.#server.drain(drainMs);
    const cut = aborted(this.#stop.force).then(() => this.#server?.drain(0));
    const result = await Promise.race([drained, cut]);
    if (result && result.finished + result.cancelled > 0) this.log('info', 'drained', { ...result });
  }

  async #step(name: string, action: () => unknown): Promise<void> {
    try {
      await action();
    } catch (error) {
      this.log('error', `could not ${name}: ${(error as Error).message}`, { stack: (error as Error).stack });
    }
  }

  #endpoints(): Endpoints {
    return this.#listener ? { grpc: { host: this.#listener.host, port: this.#listener.port } } : {};
  }

  async #receipt(reports: StopReport[], reason: string, began: number): Promise<Receipt> {
    const listener = this.#listener;
    const ports = listener
      ? [{ port: listener.port, free: await isPortFree(listener.host, listener.port) }]
      : [];
    return {
      experiment: this.#experiment.name,
      runId: this.#start.runId,
      reason,
      by: 'daemon',
      startedAt: new Date(began).toISOString(),
      finishedAt: new Date().toISOString(),
      durationMs: Date.now() - began,
      processes: reports.flatMap(({ processes }) => processes),
      survivors: reports.flatMap(({ survivors }) => survivors),
      ports,
      filesRemoved: [],
    };
  }

  async #answer(request: ControlRequest): Promise<unknown> {
    switch (request.op) {
      case 'status':
        return this.#status();
      case 'restart':
        return this.#restart(String(request['unit']));
      default:
        throw new Error(`unknown request ${JSON.stringify(request.op)}`);
    }
  }

  async #restart(id: string): Promise<{ unit: string }> {
    const found = this.#units.find(({ supervised }) => supervised.id === id);
    if (!found) {
      const known = this.#units.map(({ supervised }) => supervised.id).join(', ');
      throw new Error(`there is no worker or process ${JSON.stringify(id)}; there are: ${known}`);
    }
    if (hasEnded(found.supervised.state)) {
      throw new Error(`${id} has ended for good; restart the experiment to bring it back`);
    }
    await found.restart();
    return { unit: id };
  }

  async #status(): Promise<StatusReport> {
    const pids = this.#units.flatMap(({ supervised }) => supervised.pid ?? []);
    const usage = await sampleUsage(pids);
    const models = this.#server?.stats() ?? [];
    return {
      name: this.#experiment.name,
      pid: process.pid,
      runId: this.#start.runId,
      state: this.#phase,
      startedAt: this.#startedAt.toISOString(),
      endpoints: this.#endpoints(),
      containment: { tier: this.#keeper?.tier ?? 'none', degraded: this.#keeper?.degraded ?? null },
      units: this.#units.map((unit) => unit.status(usage)),
      models: (this.#experiment.model_pool?.instances ?? []).map(({ name, replicas }) => {
        const counts = models.find(({ model }) => model === name);
        const readyReplicas = this.#pool?.readyReplicas(name) ?? 0;
        return {
          name,
          ready: readyReplicas > 0,
          replicas,
          readyReplicas,
          succeeded: counts?.succeeded ?? 0,
          failed: counts?.failed ?? 0,
          queued: counts?.queued ?? 0,
        };
      }),
    };
  }
}

/** Units of one definition come up together; definitions come up one after another. */
function grouped(units: ManagedUnit[]): ManagedUnit[][] {
  const groups = new Map<string, ManagedUnit[]>();
  for (const unit of units) groups.set(unit.definition, [...(groups.get(unit.definition) ?? []), unit]);
  return [...groups.values()];
}

/** A frame carries one gRPC message's tensors and their padding. */
function workerLimits(maxMessageMb: number): Pick<ProtocolLimits, 'maxFrameBytes'> {
  const framing = 1024 * 1024;
  return { maxFrameBytes: Math.max(DEFAULT_LIMITS.maxFrameBytes, maxMessageMb * 1024 * 1024 + framing) };
}
