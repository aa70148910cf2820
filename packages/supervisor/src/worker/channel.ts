/**
 * The host's end of one worker's stdin and stdout: requests out, answers back, each settled exactly once whatever the
 * worker does. It knows frames and promises, not processes: who spawned the worker calls {@link WorkerChannel.close}
 * when it is gone.
 */
import type { Readable, Writable } from 'node:stream';
import {
  byteLength,
  encodeHostMessage,
  FrameDecoder,
  PROTOCOL_VERSION,
  ProtocolError,
  tensorProblem,
  WorkerFault,
  type HostMessage,
  type ProtocolLimits,
  type RequestParameters,
  type Tensor,
  type WorkerMessage,
} from '@supervisor/worker/protocol';

export { WorkerFault };

/** A timer of Node cannot be longer than this. */
const MAX_TIMER_MS = 2 ** 31 - 1;
const MAX_ID = 2 ** 32 - 1;
/** A worker whose stdin broke is dying, and its output ends; one that only closed it is of no more use after this. */
const INPUT_LOST_GRACE_MS = 1000;

export interface WorkerChannelOptions {
  /** Name of the worker, told to it in the hello and used in messages. */
  worker: string;
  stdin: Writable;
  stdout: Readable;
  limits: ProtocolLimits;
  /** The backend's settings, sent in the hello. */
  config: Record<string, unknown>;
}

export interface InferOptions {
  /** Milliseconds from now; 0 = no deadline. */
  deadlineMs: number;
  parameters?: RequestParameters;
  /** Aborting sends a cancel to the worker and rejects with CANCELLED. */
  signal?: AbortSignal;
}

export interface InferAnswer {
  outputs: Tensor[];
  parameters?: RequestParameters;
}

export interface Pong {
  busy: boolean;
  completed: number;
  inFlight: number;
}

type From<T extends WorkerMessage['type']> = Extract<WorkerMessage, { type: T }>;

interface Request {
  readonly inputs: Tensor[];
  readonly bytes: number;
  readonly parameters: RequestParameters | undefined;
  /** On the clock of `performance.now()`; 0 = none. */
  readonly expiresAt: number;
  /** 0 until it was sent. */
  id: number;
  resolve(answer: InferAnswer): void;
  reject(error: WorkerFault): void;
  /** Takes timer and abort listener away. */
  release(): void;
}

interface PendingPing {
  resolve(pong: Pong): void;
  reject(error: WorkerFault): void;
}

export class WorkerChannel {
  onHello: ((hello: From<'hello'>) => void) | undefined;
  onProgress: ((progress: From<'progress'>) => void) | undefined;
  onReady: ((ready: From<'ready'>) => void) | undefined;
  onStats: ((stats: From<'stats'>) => void) | undefined;
  onLog: ((log: From<'log'>) => void) | undefined;
  /** The worker names the reason of its own end; it exits next. */
  onFatal: ((error: WorkerFault) => void) | undefined;
  /** Once, when nothing more will come: without an error when the stream ended between frames or `close()` was called. */
  onClosed: ((error?: Error) => void) | undefined;

  readonly #worker: string;
  readonly #stdin: Writable;
  readonly #stdout: Readable;
  readonly #limits: ProtocolLimits;
  readonly #decoder: FrameDecoder<WorkerMessage>;
  /** Accepted, not sent: the worker has enough, or the pipe is full. */
  readonly #waiting = new Set<Request>();
  readonly #sent = new Map<number, Request>();
  /** Cancelled or timed out after they were sent; the worker still owes an answer. Id -> bytes. */
  readonly #abandoned = new Map<number, number>();
  readonly #pings = new Map<number, PendingPing>();
  #sentBytes = 0;
  #waitingBytes = 0;
  #lastId = 0;
  #corked = false;
  #pipeFull = false;
  #phase: 'hello' | 'loading' | 'ready' | 'closed' = 'hello';
  /** Why no more requests are taken although the worker may still answer. */
  #leaving: WorkerFault | undefined;
  #inputLost: NodeJS.Timeout | undefined;

  constructor(options: WorkerChannelOptions) {
    this.#worker = options.worker;
    this.#stdin = options.stdin;
    this.#stdout = options.stdout;
    this.#limits = options.limits;
    this.#decoder = new FrameDecoder('host', options.limits);
    // These two stay for as long as the streams live: a pipe may still fail after the channel closed, and an error that
    // nobody listens for would end the supervisor.
    this.#stdin.on('error', this.#onInputError);
    this.#stdout.on('error', this.#onOutputError);
    this.#stdin.on('drain', this.#onDrain);
    this.#stdout.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onOutputClosed);
    this.#send({
      type: 'hello',
      protocol: { min: PROTOCOL_VERSION, max: PROTOCOL_VERSION },
      worker: options.worker,
      limits: options.limits,
      config: options.config,
    });
  }

  /** Requests that were accepted and that the worker has not answered, cancelled ones included. */
  get inFlight(): number {
    return this.#waiting.size + this.#sent.size + this.#abandoned.size;
  }

  /** Tensor bytes of those requests. */
  get inFlightBytes(): number {
    return this.#waitingBytes + this.#sentBytes;
  }

  /**
   * Rejects with a {@link WorkerFault}: what the worker answered, CANCELLED, DEADLINE_EXCEEDED, or UNAVAILABLE
   * (retryable) when the worker is not ready or went away.
   *
   * Above the limits a request waits here until the worker has answered others. Outputs are views into one buffer.
   */
  infer(inputs: Tensor[], { deadlineMs, parameters, signal }: InferOptions): Promise<InferAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#phase === 'closed') return reject(this.#unavailable('is gone'));
      if (this.#phase !== 'ready') return reject(this.#unavailable('is not ready'));
      if (this.#leaving) return reject(this.#leaving);
      if (signal?.aborted)
        return reject(new WorkerFault('CANCELLED', 'the request was cancelled before it was sent'));
      const request: Request = {
        inputs,
        bytes: byteLength(inputs),
        parameters,
        expiresAt: deadlineMs > 0 ? performance.now() + deadlineMs : 0,
        id: 0,
        resolve,
        reject,
        release: () => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', onAbort);
        },
      };
      const onAbort = () => this.#giveUp(request, new WorkerFault('CANCELLED', 'the request was cancelled'));
      const onDeadline = () =>
        this.#giveUp(
          request,
          new WorkerFault(
            'DEADLINE_EXCEEDED',
            `worker ${this.#worker} did not answer within ${Math.ceil(deadlineMs)} ms`,
          ),
        );
      const timer = deadlineMs > 0 ? setTimeout(onDeadline, Math.min(deadlineMs, MAX_TIMER_MS)) : undefined;
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(request);
      this.#waitingBytes += request.bytes;
      this.#sendWaiting();
    });
  }

  /** Resolves with the worker's answer; rejects when the channel closes first. */
  ping(): Promise<Pong> {
    return new Promise((resolve, reject) => {
      if (this.#phase === 'closed') return reject(this.#unavailable('is gone'));
      const id = this.#nextId();
      this.#pings.set(id, { resolve, reject });
      this.#send({ type: 'ping', id });
    });
  }

  /** Asks the worker to finish what it has accepted, at most `drainMs`, and to exit. */
  shutdown(drainMs: number): void {
    if (this.#phase === 'closed') return;
    this.#leave(this.#unavailable('is shutting down'));
    this.#send({ type: 'shutdown', drainMs });
  }

  /** Ends the worker's stdin after what was written: it finishes, flushes and exits. Answers still arrive. */
  end(): void {
    if (this.#phase === 'closed') return;
    this.#leave(this.#unavailable('is shutting down'));
    this.#uncork();
    if (!this.#stdin.writableEnded && !this.#stdin.destroyed) this.#stdin.end();
  }

  /**
   * Settles everything that is pending and lets go of both streams. Does nothing the second time.
   *
   * @param error why, for the pending requests and for `onClosed`.
   */
  close(error?: Error): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    clearTimeout(this.#inputLost);
    this.#stdin.off('drain', this.#onDrain);
    this.#stdout.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onOutputClosed);
    this.#stdin.destroy();
    // Unread output would keep the pipe, and with it the process's `close` event, waiting for ever.
    if (!this.#stdout.destroyed) this.#stdout.resume();

    const why = this.#unavailable(`went away before it answered${error ? `: ${error.message}` : ''}`, error);
    const requests = [...this.#waiting, ...this.#sent.values()];
    const pings = [...this.#pings.values()];
    this.#waiting.clear();
    this.#sent.clear();
    this.#abandoned.clear();
    this.#pings.clear();
    this.#sentBytes = 0;
    this.#waitingBytes = 0;
    for (const request of requests) {
      request.release();
      request.reject(why);
    }
    for (const ping of pings) ping.reject(why);
    this.onClosed?.(error);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  readonly #onData = (chunk: Buffer): void => {
    try {
      for (const message of this.#decoder.push(chunk)) {
        this.#receive(message);
        // A callback may have closed the channel.
        if (this.#phase === 'closed') return;
      }
      if (this.#decoder.failure) throw this.#decoder.failure;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.close(error);
    }
  };

  readonly #onEnd = (): void => {
    try {
      this.#decoder.end();
      this.close();
    } catch (error) {
      this.close(error as ProtocolError);
    }
  };

  /** After `end` this does nothing; without one the stream was destroyed. */
  readonly #onOutputClosed = (): void => this.#onEnd();

  readonly #onOutputError = (error: Error): void => this.close(error);

  /**
   * The worker closed its stdin, most often because it died. What it said before is still to be read, and tells more
   * than EPIPE does: the end of its output closes the channel, and its owner does when the process is gone.
   */
  readonly #onInputError = (error: Error): void => {
    if (this.#phase === 'closed') return;
    this.#leave(this.#unavailable(`takes no more input (${error.message})`, error));
    this.#inputLost ??= setTimeout(() => this.close(error), INPUT_LOST_GRACE_MS);
  };

  readonly #onDrain = (): void => {
    this.#pipeFull = false;
    this.#sendWaiting();
  };

  #receive(message: WorkerMessage): void {
    if (this.#phase === 'hello' && message.type !== 'hello' && message.type !== 'log' && !isFatal(message)) {
      throw new ProtocolError(
        'UNEXPECTED_MESSAGE',
        `worker ${this.#worker} sent ${message.type} before its hello`,
      );
    }
    switch (message.type) {
      case 'hello':
        return this.#meet(message);
      case 'progress':
        return this.onProgress?.(message);
      case 'ready':
        if (this.#phase === 'ready') {
          throw new ProtocolError('UNEXPECTED_MESSAGE', `worker ${this.#worker} said ready twice`);
        }
        this.#phase = 'ready';
        return this.onReady?.(message);
      case 'result': {
        const request = this.#answered(message.id);
        // A late answer frees a place as well.
        if (!request) return this.#sendWaiting();
        const problem = message.outputs.map(tensorProblem).find((text) => text !== undefined);
        if (problem !== undefined) {
          request.reject(
            new WorkerFault('INTERNAL', `worker ${this.#worker} answered with a bad output: ${problem}`),
          );
        } else {
          const { outputs, parameters } = message;
          request.resolve({ outputs, ...(parameters && { parameters }) });
        }
        return this.#sendWaiting();
      }
      case 'error': {
        const { code, retryable } = message;
        const fault = new WorkerFault(code, message.message, { retryable });
        if (message.id === 0) return this.onFatal?.(fault);
        this.#answered(message.id)?.reject(fault);
        return this.#sendWaiting();
      }
      case 'pong': {
        const ping = this.#pings.get(message.id);
        if (!ping)
          throw new ProtocolError(
            'UNEXPECTED_MESSAGE',
            `worker ${this.#worker} answered ping ${message.id}, which nobody sent`,
          );
        this.#pings.delete(message.id);
        return ping.resolve({ busy: message.busy, completed: message.completed, inFlight: message.inFlight });
      }
      case 'stats':
        return this.onStats?.(message);
      case 'log':
        return this.onLog?.(message);
    }
  }

  #meet(hello: From<'hello'>): void {
    if (this.#phase !== 'hello') {
      throw new ProtocolError('UNEXPECTED_MESSAGE', `worker ${this.#worker} said hello twice`);
    }
    if (hello.protocol !== PROTOCOL_VERSION) {
      throw new ProtocolError(
        'VERSION',
        `worker ${this.#worker} speaks version ${hello.protocol} of the worker protocol; this supervisor speaks ${PROTOCOL_VERSION}`,
      );
    }
    this.#phase = 'loading';
    this.onHello?.(hello);
  }

  /** Takes the request off the books. Undefined: it was given up before, and the late answer is dropped. */
  #answered(id: number): Request | undefined {
    const request = this.#sent.get(id);
    if (request) {
      this.#sent.delete(id);
      this.#sentBytes -= request.bytes;
      request.release();
      return request;
    }
    const bytes = this.#abandoned.get(id);
    if (bytes === undefined) {
      throw new ProtocolError(
        'UNEXPECTED_MESSAGE',
        `worker ${this.#worker} answered request ${id}, which is not in flight; every request has exactly one answer`,
      );
    }
    this.#abandoned.delete(id);
    this.#sentBytes -= bytes;
    this.onLog?.({ type: 'log', level: 'debug', message: `late answer to request ${id} dropped` });
    return undefined;
  }

  /** Settles the caller now; what was sent already keeps its place until the worker answers. */
  #giveUp(request: Request, why: WorkerFault): void {
    request.release();
    if (this.#waiting.delete(request)) {
      this.#waitingBytes -= request.bytes;
    } else if (this.#sent.delete(request.id)) {
      this.#abandoned.set(request.id, request.bytes);
      this.#send({ type: 'cancel', id: request.id });
    }
    request.reject(why);
  }

  /** Takes no more requests and gives back those that were not sent; the others may still be answered. */
  #leave(why: WorkerFault): void {
    this.#leaving ??= why;
    for (const request of [...this.#waiting]) this.#giveUp(request, why);
  }

  #sendWaiting(): void {
    for (const request of this.#waiting) {
      if (this.#pipeFull || !this.#hasRoomFor(request)) return;
      this.#waiting.delete(request);
      this.#waitingBytes -= request.bytes;
      this.#sendRequest(request);
    }
  }

  /** One request may always go, or a large one would wait for ever. */
  #hasRoomFor(request: Request): boolean {
    const sent = this.#sent.size + this.#abandoned.size;
    if (sent === 0) return true;
    return (
      sent < this.#limits.maxInFlight && this.#sentBytes + request.bytes <= this.#limits.maxInFlightBytes
    );
  }

  #sendRequest(request: Request): void {
    const { inputs, parameters, expiresAt } = request;
    // 0 would mean "no deadline": an expired one is about to be settled by its timer, 1 ms is as good.
    const deadlineMs = expiresAt === 0 ? 0 : Math.max(1, Math.ceil(expiresAt - performance.now()));
    const id = this.#nextId();
    let frame: Uint8Array[];
    try {
      frame = encodeHostMessage({ type: 'infer', id, deadlineMs, inputs, ...(parameters && { parameters }) });
    } catch (cause) {
      request.release();
      return request.reject(new WorkerFault('INVALID_ARGUMENT', (cause as Error).message, { cause }));
    }
    let bytes = 0;
    for (const part of frame) bytes += part.byteLength;
    if (bytes > this.#limits.maxFrameBytes) {
      request.release();
      return request.reject(
        new WorkerFault(
          'RESOURCE_EXHAUSTED',
          `the request makes a frame of ${bytes} bytes, above the worker's limit of ${this.#limits.maxFrameBytes} (max_frame_bytes)`,
          { retryable: false },
        ),
      );
    }
    request.id = id;
    this.#sent.set(id, request);
    this.#sentBytes += request.bytes;
    this.#write(frame);
  }

  #send(message: HostMessage): void {
    this.#write(encodeHostMessage(message));
  }

  /** Everything written in one turn of the loop goes out as one `writev`: a third of the cost with small frames. */
  #write(frame: Uint8Array[]): void {
    if (this.#stdin.destroyed || this.#stdin.writableEnded) return;
    if (!this.#corked) {
      this.#corked = true;
      this.#stdin.cork();
      process.nextTick(this.#uncork);
    }
    for (const part of frame) {
      if (!this.#stdin.write(part)) this.#pipeFull = true;
    }
  }

  readonly #uncork = (): void => {
    if (!this.#corked) return;
    this.#corked = false;
    this.#stdin.uncork();
  };

  #nextId(): number {
    do {
      this.#lastId = this.#lastId === MAX_ID ? 1 : this.#lastId + 1;
    } while (
      this.#sent.has(this.#lastId) ||
      this.#abandoned.has(this.#lastId) ||
      this.#pings.has(this.#lastId)
    );
    return this.#lastId;
  }

  #unavailable(what: string, cause?: Error): WorkerFault {
    return new WorkerFault('UNAVAILABLE', `worker ${this.#worker} ${what}`, {
      retryable: true,
      ...(cause && { cause }),
    });
  }
}

function isFatal(message: WorkerMessage): boolean {
  return message.type === 'error' && message.id === 0;
}
