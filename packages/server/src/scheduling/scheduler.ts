/**
 * The requests of one model: a bounded queue in front of its replicas. A request goes to a replica as soon
 * as one has room, in order of arrival, and is settled exactly once, whatever ends it.
 */
import type { RequestParameters, Tensor } from '@supervisor/worker/protocol';
import { ServerError } from '../errors.js';
import { Queue, type QueueNode } from './queue.js';
import type { InferResult, Replica } from './replica.js';
import { chooseReplica, type Load, type Routing } from './route.js';

export interface ScheduledRequest {
  inputs: Tensor[];
  /** Tensor bytes of the inputs. */
  bytes: number;
  parameters?: RequestParameters;
  /** Milliseconds since the epoch; Infinity = none. */
  deadline: number;
}

export interface Ticket {
  readonly result: Promise<InferResult>;
  /** Takes the request out of the queue, or aborts it in its replica. Does nothing once it is settled. */
  cancel(why: () => ServerError): void;
}

export interface SchedulerOptions {
  model: string;
  routing: Routing;
  /** Requests that may wait; more are refused at once. */
  maxQueueSize: number;
}

/** Longest time that a timer can be set to, about 24 days; a later deadline is none. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * A replica can be occupied by requests that were cancelled and that it still works on. Nothing tells when
 * it has room again, so while nothing else is in flight it is asked.
 */
const OCCUPIED_RETRY_MS = 5;

/** A replica and what this scheduler has given it. */
interface Lane extends Load {
  replica: Replica;
}

/** Kept whole until answered: what a lost replica had in hand can be given to another. */
interface Pending {
  request: ScheduledRequest;
  resolve: (result: InferResult) => void;
  reject: (error: unknown) => void;
  isSettled: boolean;
  timer: NodeJS.Timeout | undefined;
  node: QueueNode<Pending> | undefined;
  abort: AbortController | undefined;
}

export class Scheduler {
  #options: SchedulerOptions;
  readonly #queue = new Queue<Pending>();
  readonly #unsettled = new Set<Pending>();
  /** A new array at every change of membership. */
  #lanes: Lane[] = [];
  #turn = 0;
  #inFlight = 0;
  #succeeded = 0;
  #failed = 0;
  #retry: NodeJS.Timeout | undefined;
  readonly #idleWaiters = new Set<() => void>();

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  get stats(): { inFlight: number; queued: number; succeeded: number; failed: number } {
    return {
      inFlight: this.#inFlight,
      queued: this.#queue.size,
      succeeded: this.#succeeded,
      failed: this.#failed,
    };
  }

  get replicas(): number {
    return this.#lanes.length;
  }

  /** Requests whose callers have no answer yet. */
  get unsettled(): number {
    return this.#unsettled.size;
  }

  configure(options: SchedulerOptions): void {
    this.#options = options;
  }

  addReplica(replica: Replica): void {
    if (this.#lanes.some((lane) => lane.replica.id === replica.id)) {
      throw new Error(
        `model "${this.#options.model}" has a replica "${replica.id}" already: remove that one first`,
      );
    }
    this.#lanes = [...this.#lanes, { replica, requests: 0, bytes: 0, capacity: replica.capacity }];
    this.#dispatch();
  }

  /** The replica gets no new request; those it has in hand it may finish. What waits for it fails when it was the last. */
  removeReplica(id: string): void {
    this.#lanes = this.#lanes.filter((lane) => lane.replica.id !== id);
    if (this.#lanes.length > 0) return;
    const error = new ServerError(
      'MODEL_NOT_READY',
      `model "${this.#options.model}" lost its last worker while the request waited; try again when it is ready`,
    );
    for (let node = this.#queue.first; node; node = this.#queue.first) this.#settle(node.value, error);
  }

  /** Throws `ServerError` when the request cannot be taken. */
  submit(request: ScheduledRequest): Ticket {
    const { model, maxQueueSize } = this.#options;
    if (this.#lanes.length === 0) {
      throw new ServerError(
        'MODEL_NOT_READY',
        `model "${model}" has no ready worker; try again when it is ready`,
      );
    }
    const remainingMs = request.deadline - Date.now();
    if (remainingMs <= 0) throw deadlineError(model);
    const lane = this.#queue.size === 0 ? this.#laneFor(request.bytes) : undefined;
    if (!lane && this.#queue.size >= maxQueueSize) {
      throw new ServerError(
        'QUEUE_FULL',
        `${this.#queue.size} requests wait for model "${model}", which is all that may (max_queue_size); send fewer at a time or try again later`,
      );
    }
    const { pending, result } = this.#open(request);
    if (remainingMs <= MAX_TIMER_MS) {
      pending.timer = setTimeout(() => this.#cancel(pending, () => deadlineError(model)), remainingMs);
    }
    if (lane) {
      this.#start(pending, lane);
    } else {
      pending.node = this.#queue.push(pending);
      this.#watchOccupied();
    }
    return { result, cancel: (why) => this.#cancel(pending, why) };
  }

  /** Resolves when every caller has its answer. */
  whenIdle(): Promise<void> {
    if (this.#unsettled.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.add(resolve));
  }

  /** Ends every request, waiting or in flight; returns how many. */
  cancelAll(why: () => ServerError): number {
    const all = [...this.#unsettled];
    for (const pending of all) this.#cancel(pending, why);
    return all.length;
  }

  #open(request: ScheduledRequest): { pending: Pending; result: Promise<InferResult> } {
    let pending!: Pending;
    const result = new Promise<InferResult>((resolve, reject) => {
      pending = {
        request,
        resolve,
        reject,
        isSettled: false,
        timer: undefined,
        node: undefined,
        abort: undefined,
      };
    });
    this.#unsettled.add(pending);
    return { pending, result };
  }

  #dispatch(): void {
    for (let node = this.#queue.first; node; node = this.#queue.first) {
      const lane = this.#laneFor(node.value.request.bytes);
      if (!lane) break;
      this.#queue.remove(node);
      this.#start(node.value, lane);
    }
    this.#watchOccupied();
  }

  #laneFor(bytes: number): Lane | undefined {
    const lanes = this.#lanes;
    const loads = lanes.map(currentLoad);
    const index = chooseReplica(loads, this.#options.routing, this.#turn, bytes);
    if (index === -1) return undefined;
    this.#turn = (index + 1) % lanes.length;
    return lanes[index];
  }

  #start(pending: Pending, lane: Lane): void {
    const { inputs, parameters, deadline, bytes } = pending.request;
    const abort = new AbortController();
    pending.abort = abort;
    lane.requests += 1;
    lane.bytes += bytes;
    this.#inFlight += 1;
    const deadlineMs = deadline === Infinity ? 0 : Math.max(1, Math.ceil(deadline - Date.now()));
    const options = { deadlineMs, signal: abort.signal, ...(parameters && { parameters }) };
    const ended = (error: unknown, result?: InferResult) => {
      lane.requests -= 1;
      lane.bytes -= bytes;
      this.#inFlight -= 1;
      this.#settle(pending, error, result);
      this.#dispatch();
    };
    askReplica(lane.replica, inputs, options).then(
      (result) => ended(undefined, result),
      (error: unknown) => ended(error ?? new Error('the replica rejected without a reason')),
    );
  }

  #cancel(pending: Pending, why: () => ServerError): void {
    if (pending.isSettled) return;
    const error = why();
    this.#settle(pending, error);
    pending.abort?.abort(error);
    // It may have been the first in the queue, and too large for the room that others fit into.
    if (pending.node) this.#dispatch();
  }

  #settle(pending: Pending, error: unknown, result?: InferResult): void {
    if (pending.isSettled) return;
    pending.isSettled = true;
    clearTimeout(pending.timer);
    if (pending.node) this.#queue.remove(pending.node);
    this.#unsettled.delete(pending);
    if (result) {
      this.#succeeded += 1;
      pending.resolve(result);
    } else {
      this.#failed += 1;
      pending.reject(error);
    }
    if (this.#queue.size === 0) this.#stopWatching();
    if (this.#unsettled.size > 0) return;
    for (const idle of this.#idleWaiters) idle();
    this.#idleWaiters.clear();
  }

  #watchOccupied(): void {
    if (this.#queue.size === 0 || this.#inFlight > 0 || this.#lanes.length === 0) {
      this.#stopWatching();
      return;
    }
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#dispatch();
    }, OCCUPIED_RETRY_MS);
  }

  #stopWatching(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
  }
}

/** The larger of what was given and what the replica says: it may still be busy with something cancelled. */
function currentLoad({ replica, requests, bytes, capacity }: Lane): Load {
  return {
    requests: Math.max(requests, replica.inFlight),
    bytes: Math.max(bytes, replica.inFlightBytes),
    capacity,
  };
}

/** A replica that throws instead of rejecting is no reason to lose count. */
async function askReplica(
  replica: Replica,
  inputs: Tensor[],
  options: Parameters<Replica['infer']>[1],
): Promise<InferResult> {
  return replica.infer(inputs, options);
}

function deadlineError(model: string): ServerError {
  return new ServerError(
    'DEADLINE_EXCEEDED',
    `the deadline passed before model "${model}" answered; allow more time or send fewer requests at a time`,
  );
}
