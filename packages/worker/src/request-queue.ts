/**
 * Requests between the stream and the backend: in order, each answered exactly once, dropped for free while they wait.
 *
 * Knows nothing of streams; answers leave through `send`.
 */
import type { Answer, Runner } from './backend.js';
import {
  byteLength,
  WorkerFault,
  type HostMessage,
  type ProtocolLimits,
  type WorkerMessage,
} from './protocol/index.js';

type Infer = Extract<HostMessage, { type: 'infer' }>;
type State = 'waiting' | 'running' | 'unwanted';

interface Entry {
  readonly request: Infer;
  readonly bytes: number;
  timer: NodeJS.Timeout | undefined;
  state: State;
  /** Why its outcome is not wanted any more, while the backend is still inside of it. */
  dropped: WorkerFault | undefined;
}

export interface RequestQueueOptions {
  runner: Runner;
  limits: ProtocolLimits;
  send: (answer: Extract<WorkerMessage, { type: 'result' | 'error' }>) => void;
  /** The backend says that its device is gone for good; every answer from now on would say the same. */
  onDeviceLost: (fault: WorkerFault) => void;
}

export class RequestQueue {
  completed = 0;
  readonly #runner: Runner;
  readonly #limits: ProtocolLimits;
  readonly #send: RequestQueueOptions['send'];
  readonly #onDeviceLost: RequestQueueOptions['onDeviceLost'];
  /** Everything without an answer yet, in order of arrival. */
  readonly #entries = new Map<number, Entry>();
  readonly #idle = new Set<() => void>();
  #bytes = 0;
  #given = 0;
  #refusal: WorkerFault | undefined;

  constructor({ runner, limits, send, onDeviceLost }: RequestQueueOptions) {
    this.#onDeviceLost = onDeviceLost;
    this.#runner = runner;
    this.#limits = limits;
    this.#send = send;
  }

  /** Requests that were accepted and not answered. */
  get inFlight(): number {
    return this.#entries.size;
  }

  get busy(): boolean {
    return this.#runner.busy;
  }

  add(request: Infer): void {
    const { id } = request;
    const bytes = byteLength(request.inputs);
    const refusal = this.#refusal ?? this.#overLimit(bytes);
    if (refusal) return this.#sendError(id, refusal);
    const entry: Entry = { request, bytes, timer: undefined, state: 'waiting', dropped: undefined };
    if (request.deadlineMs > 0)
      entry.timer = setTimeout(() => this.#expire(entry), Math.min(request.deadlineMs, 2 ** 31 - 1));
    this.#entries.set(id, entry);
    this.#bytes += bytes;
    this.#fill();
  }

  has(id: number): boolean {
    return this.#entries.has(id);
  }

  /** Does nothing when the request was answered: the two may cross on their ways. */
  cancel(id: number): void {
    const entry = this.#entries.get(id);
    if (entry) this.#drop(entry, new WorkerFault('CANCELLED', 'the request was cancelled'));
  }

  /** Refuses what comes from now on; what was accepted goes on. */
  refuse(why: WorkerFault): void {
    this.#refusal ??= why;
  }

  /** Answers everything with this error at once, whatever the backend is doing. */
  fail(why: WorkerFault): void {
    this.refuse(why);
    for (const entry of [...this.#entries.values()]) this.#answerError(entry, why);
  }

  /** Resolves when nothing is in flight. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#entries.size === 0) return resolve();
      this.#idle.add(resolve);
    });
  }

  #fill(): void {
    if (this.#given >= this.#runner.depth) return;
    for (const entry of this.#entries.values()) {
      if (entry.state !== 'waiting') continue;
      void this.#run(entry);
      if (this.#given >= this.#runner.depth) return;
    }
  }

  async #run(entry: Entry): Promise<void> {
    const { id, inputs, parameters = {} } = entry.request;
    entry.state = 'running';
    this.#given++;
    let outcome: Answer | WorkerFault;
    try {
      outcome = await this.#runner.run({ id, inputs, parameters });
    } catch (error) {
      outcome = WorkerFault.from(error);
    }
    this.#given--;
    if (outcome instanceof WorkerFault && outcome.code === 'DEVICE_UNAVAILABLE') this.#onDeviceLost(outcome);
    if (this.#entries.get(id) === entry) {
      if (entry.dropped) this.#answerError(entry, entry.dropped);
      else if (outcome instanceof WorkerFault) this.#answerError(entry, outcome);
      else this.#answer(entry, outcome);
    }
    this.#fill();
  }

  #expire(entry: Entry): void {
    const { deadlineMs } = entry.request;
    this.#drop(entry, new WorkerFault('DEADLINE_EXCEEDED', `the deadline of ${deadlineMs} ms passed`));
  }

  #drop(entry: Entry, why: WorkerFault): void {
    if (entry.state === 'waiting' || this.#runner.revoke(entry.request.id))
      return this.#answerError(entry, why);
    // Its place is taken until the backend is through with it: answering now would invite more than fits.
    entry.dropped ??= why;
  }

  #answer(entry: Entry, { outputs, parameters }: Answer): void {
    this.completed++;
    const { id } = this.#remove(entry);
    this.#send({ type: 'result', id, outputs, ...(parameters && { parameters }) });
    this.#sayIdle();
  }

  #answerError(entry: Entry, why: WorkerFault): void {
    this.completed++;
    const { id } = this.#remove(entry);
    this.#sendError(id, why);
    this.#sayIdle();
  }

  #sendError(id: number, { code, message, retryable }: WorkerFault): void {
    this.#send({ type: 'error', id, code, message, retryable });
  }

  #remove(entry: Entry): Infer {
    clearTimeout(entry.timer);
    this.#entries.delete(entry.request.id);
    this.#bytes -= entry.bytes;
    return entry.request;
  }

  #sayIdle(): void {
    if (this.#entries.size > 0) return;
    for (const resolve of this.#idle) resolve();
    this.#idle.clear();
  }

  /** The host keeps to the limits it set; one that does not gets an error and no memory. */
  #overLimit(bytes: number): WorkerFault | undefined {
    const { maxInFlight, maxInFlightBytes } = this.#limits;
    if (this.#entries.size === 0) return undefined;
    if (this.#entries.size >= maxInFlight) {
      return new WorkerFault(
        'RESOURCE_EXHAUSTED',
        `${maxInFlight} requests are in flight already (max_in_flight)`,
      );
    }
    if (this.#bytes + bytes > maxInFlightBytes) {
      return new WorkerFault(
        'RESOURCE_EXHAUSTED',
        `with this request ${this.#bytes + bytes} bytes would be in flight; the limit is ${maxInFlightBytes} (max_in_flight_bytes)`,
      );
    }
    return undefined;
  }
}
