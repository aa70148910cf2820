/**
 * The life of a worker process: hello, load, ready, requests, drain, exit.
 *
 * The main thread only moves frames; it stays responsive whatever the backend does, as long as the backend runs on a
 * thread or does not block.
 */
import type { Backend, LoadContext, Runner } from './backend.js';
import { LocalRunner } from './local-runner.js';
import { Outbox } from './outbox.js';
import {
  DEFAULT_LIMITS,
  encodeWorkerMessage,
  exitCodeOf,
  FrameDecoder,
  PROTOCOL_VERSION,
  ProtocolError,
  WORKER_EXIT,
  WorkerFault,
  type HostMessage,
  type LogLevel,
  type ModelMetadata,
  type WorkerMessage,
} from './protocol/index.js';
import { requestProblem } from './request-check.js';
import { RequestQueue } from './request-queue.js';
import { claimStdio, dieWithParent, type FrameStdio } from './stdio.js';
import { ThreadRunner } from './thread/runner.js';

export interface ServeOptions {
  /** Shown to the supervisor, such as `node 20.20.0`. That is the default. */
  runtime?: string;
  /** How long accepted requests may go on after SIGTERM or end of input; the host's shutdown message brings its own. Default 5000. */
  drainMs?: number;
  /** Requests inside of a backend that runs on the main thread at once. Default 1. */
  concurrency?: number;
  /** Linux: end with the process that started this one, even when stdin stays open. Default true. */
  dieWithParent?: boolean;
}

/** A backend on the main loop, the URL of a module that exports `backend` to run on a thread, or a choice made from the config. */
export type BackendSource = Backend | URL | ((config: Record<string, unknown>) => Promise<Backend | URL>);

const DEFAULT_DRAIN_MS = 5000;
const STATS_INTERVAL_MS = 5000;
/** Releasing a model and flushing the last frames, once nothing is in flight. */
const CLOSE_LIMIT_MS = 2000;
/** Kept well under the 1 MiB of a control message. */
const MAX_MESSAGE_CHARACTERS = 8192;

type Hello = Extract<HostMessage, { type: 'hello' }>;

/**
 * Serves a backend on stdin and stdout until the host is through with it. Never returns: the process exits.
 *
 * Call it first thing. From then on stdout is the host's alone; everything printed goes to stderr.
 */
export function serve(source: BackendSource, options: ServeOptions = {}): void {
  const parentPid = process.ppid;
  let stdio: FrameStdio;
  try {
    stdio = claimStdio();
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exit(WORKER_EXIT.PROTOCOL);
  }
  if ((options.dieWithParent ?? true) && !dieWithParent(parentPid)) process.exit(WORKER_EXIT.PARENT_GONE);
  new WorkerProcess(source, options, stdio).start();
}

type Phase =
  | { kind: 'hello' }
  | { kind: 'loading'; runner: Runner | undefined }
  | { kind: 'ready'; runner: Runner; queue: RequestQueue; metadata: ModelMetadata }
  | { kind: 'leaving' };

class WorkerProcess {
  readonly #source: BackendSource;
  readonly #options: ServeOptions;
  readonly #stdio: FrameStdio;
  readonly #outbox: Outbox;
  readonly #limits = { ...DEFAULT_LIMITS };
  readonly #decoder: FrameDecoder<HostMessage>;
  #phase: Phase = { kind: 'hello' };

  constructor(source: BackendSource, options: ServeOptions, stdio: FrameStdio) {
    this.#source = source;
    this.#options = options;
    this.#stdio = stdio;
    this.#decoder = new FrameDecoder('worker', this.#limits);
    this.#outbox = new Outbox(stdio.output, {
      onFull: () => stdio.input.pause(),
      onDrained: () => stdio.input.resume(),
      onLost: (error) => this.#onHostGone(error),
    });
  }

  start(): void {
    const { input } = this.#stdio;
    input.onChunk = (chunk) => this.#onChunk(chunk);
    input.onEnd = () => this.#onEnd();
    input.onError = (error) => this.#onHostGone(error);
    process.on('SIGTERM', () => void this.#leave(this.#drainMs));
    // Ctrl-C reaches every process of the terminal; stopping workers, in order, is the supervisor's part.
    process.on('SIGINT', () => {});
    const onUncaught = (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
      this.#die(WorkerFault.from(error), WORKER_EXIT.INTERNAL);
    };
    process.on('uncaughtException', onUncaught);
    process.on('unhandledRejection', onUncaught);
  }

  get #drainMs(): number {
    return this.#options.drainMs ?? DEFAULT_DRAIN_MS;
  }

  #onChunk(chunk: Uint8Array): void {
    try {
      for (const message of this.#decoder.push(chunk)) this.#receive(message);
      if (this.#decoder.failure) throw this.#decoder.failure;
    } catch (error) {
      this.#onBroken(error);
    }
  }

  #onEnd(): void {
    try {
      this.#decoder.end();
    } catch (error) {
      return this.#onBroken(error);
    }
    void this.#leave(this.#drainMs);
  }

  /** A pipe broke: the supervisor ended without closing it in order, and there is nobody left to answer. */
  #onHostGone(error: Error): never {
    process.stderr.write(`the supervisor is gone: ${error.message}\n`);
    return this.#stdio.exitNow(WORKER_EXIT.PARENT_GONE);
  }

  #onBroken(error: unknown): void {
    if (!(error instanceof ProtocolError)) throw error;
    this.#die(new WorkerFault('PROTOCOL', `${error.code}: ${error.message}`, { cause: error }));
  }

  #receive(message: HostMessage): void {
    if (message.type === 'hello') return this.#meet(message);
    if (this.#phase.kind === 'hello') {
      throw new ProtocolError('UNEXPECTED_MESSAGE', `${message.type} came before hello`);
    }
    switch (message.type) {
      case 'infer':
        return this.#infer(message);
      case 'cancel':
        return this.#phase.kind === 'ready' ? this.#phase.queue.cancel(message.id) : undefined;
      case 'ping':
        return this.#pong(message.id);
      case 'shutdown':
        return void this.#leave(message.drainMs);
    }
  }

  #meet(hello: Hello): void {
    if (this.#phase.kind !== 'hello') throw new ProtocolError('UNEXPECTED_MESSAGE', 'hello came twice');
    const { min, max } = hello.protocol;
    if (PROTOCOL_VERSION < min || PROTOCOL_VERSION > max) {
      throw new ProtocolError(
        'VERSION',
        `the supervisor speaks versions ${min} to ${max} of the worker protocol; this worker speaks ${PROTOCOL_VERSION}`,
      );
    }
    Object.assign(this.#limits, hello.limits);
    process.title = `worker ${hello.worker}`;
    this.#phase = { kind: 'loading', runner: undefined };
    this.#send({
      type: 'hello',
      protocol: PROTOCOL_VERSION,
      runtime: this.#options.runtime ?? `node ${process.versions.node}`,
      pid: process.pid,
    });
    setInterval(() => this.#send(stats()), STATS_INTERVAL_MS).unref();
    void this.#load(hello);
  }

  async #load({ worker, config }: Hello): Promise<void> {
    try {
      const runner = await this.#runner(config);
      if (this.#phase.kind !== 'loading') return;
      this.#phase = { kind: 'loading', runner };
      const context: LoadContext = {
        worker,
        config,
        progress: (stage, done, total, unit) => this.#send({ type: 'progress', stage, done, total, unit }),
        log: (level, message, fields) => this.#log(level, message, fields),
      };
      const { metadata, device, notes } = await runner.load(context);
      // Told to leave meanwhile.
      if (this.#phase.kind !== 'loading') return;
      const queue = new RequestQueue({
        runner,
        limits: this.#limits,
        send: (answer) => this.#send(answer),
        onDeviceLost: (fault) => this.#die(fault),
      });
      this.#phase = { kind: 'ready', runner, queue, metadata };
      this.#send({ type: 'ready', model: metadata, device, ...(notes && { notes }) });
      this.#send(stats());
    } catch (error) {
      const fault =
        error instanceof WorkerFault
          ? error
          : new WorkerFault('LOAD_FAILED', error instanceof Error ? error.message : String(error), {
              cause: error,
            });
      this.#die(fault);
    }
  }

  async #runner(config: Record<string, unknown>): Promise<Runner> {
    const source = typeof this.#source === 'function' ? await this.#source(config) : this.#source;
    if (!(source instanceof URL)) return new LocalRunner(source, this.#options.concurrency ?? 1);
    return new ThreadRunner(source, (error) => this.#die(error, WORKER_EXIT.INTERNAL));
  }

  #infer(message: Extract<HostMessage, { type: 'infer' }>): void {
    const { id } = message;
    if (this.#phase.kind !== 'ready') {
      const why = this.#phase.kind === 'leaving' ? 'is shutting down' : 'is not ready';
      return this.#sendError(id, new WorkerFault('UNAVAILABLE', `the worker ${why}`));
    }
    const { queue, metadata } = this.#phase;
    if (queue.has(id)) throw new ProtocolError('UNEXPECTED_MESSAGE', `request id ${id} is in flight already`);
    const problem = requestProblem(message.inputs, metadata);
    if (problem !== undefined) return this.#sendError(id, new WorkerFault('INVALID_ARGUMENT', problem));
    queue.add(message);
  }

  #pong(id: number): void {
    const queue = this.#phase.kind === 'ready' ? this.#phase.queue : undefined;
    this.#send({
      type: 'pong',
      id,
      busy: queue?.busy ?? this.#phase.kind === 'loading',
      completed: queue?.completed ?? 0,
      inFlight: queue?.inFlight ?? 0,
    });
  }

  /** Finishes what was accepted within `drainMs`, flushes, exits 0. The first call counts. */
  async #leave(drainMs: number): Promise<void> {
    const phase = this.#phase;
    if (phase.kind === 'leaving') return;
    this.#phase = { kind: 'leaving' };
    const shuttingDown = new WorkerFault('UNAVAILABLE', 'the worker is shutting down');
    if (phase.kind === 'ready') {
      const { queue, runner } = phase;
      queue.refuse(shuttingDown);
      const limit = after(drainMs);
      await Promise.race([queue.idle(), limit.passed]);
      limit.clear();
      queue.fail(
        new WorkerFault('UNAVAILABLE', `the worker was told to stop and did not finish within ${drainMs} ms`),
      );
      const close = runner.close().catch((error: unknown) => {
        process.stderr.write(`closing the backend failed: ${String(error)}\n`);
      });
      const closeLimit = after(runner.busy ? 0 : CLOSE_LIMIT_MS);
      await Promise.race([close, closeLimit.passed]);
      closeLimit.clear();
    }
    await this.#flushAndExit(WORKER_EXIT.OK);
  }

  /** Names the reason on stderr and to the host, gives up what is in flight, exits. On the way out already: nothing. */
  #die(fault: WorkerFault, exitCode = exitCodeOf(fault.code)): void {
    const phase = this.#phase;
    if (phase.kind === 'leaving') return;
    this.#phase = { kind: 'leaving' };
    process.stderr.write(`${fault.code}: ${fault.message}\n`);
    if (phase.kind === 'ready')
      phase.queue.fail(new WorkerFault('UNAVAILABLE', `the worker failed: ${fault.message}`));
    this.#sendError(0, fault);
    void this.#flushAndExit(exitCode);
  }

  async #flushAndExit(code: number): Promise<never> {
    const limit = after(CLOSE_LIMIT_MS);
    await Promise.race([this.#outbox.end(), limit.passed]);
    // Not process.exit: it joins the inference thread, which may be inside of native code for as long as it likes, and runs
    // the destructors of native libraries, which have been known to crash. Nothing is left to lose: frames are flushed,
    // and stderr is synchronous.
    return this.#stdio.exitNow(code);
  }

  #log(level: LogLevel, message: string, fields?: Record<string, unknown>): void {
    this.#send({ type: 'log', level, message: shortened(message), ...(fields && { fields }) });
  }

  #sendError(id: number, { code, message, retryable }: WorkerFault): void {
    this.#send({ type: 'error', id, code, message, retryable });
  }

  #send(message: WorkerMessage): void {
    let frame: Uint8Array[];
    try {
      if (message.type === 'error') message = { ...message, message: shortened(message.message) };
      frame = encodeWorkerMessage(message);
      const bytes = frame.reduce((sum, part) => sum + part.byteLength, 0);
      if (bytes > this.#limits.maxFrameBytes) {
        throw new RangeError(
          `the answer makes a frame of ${bytes} bytes, above the limit of ${this.#limits.maxFrameBytes} (max_frame_bytes)`,
        );
      }
    } catch (error) {
      // A backend's answer that cannot be sent is that request's error; anything else is ours.
      if (message.type !== 'result') throw error;
      return this.#sendError(
        message.id,
        new WorkerFault('INTERNAL', (error as Error).message, { cause: error }),
      );
    }
    this.#outbox.write(frame);
  }
}

function stats(): WorkerMessage {
  return { type: 'stats', rssBytes: process.memoryUsage.rss(), deviceBytes: {} };
}

function shortened(text: string): string {
  return text.length <= MAX_MESSAGE_CHARACTERS ? text : `${text.slice(0, MAX_MESSAGE_CHARACTERS)} ...`;
}

function after(ms: number): { passed: Promise<void>; clear(): void } {
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<void>((resolve) => (timer = setTimeout(resolve, Math.min(ms, 2 ** 31 - 1))));
  return { passed, clear: () => clearTimeout(timer) };
}
