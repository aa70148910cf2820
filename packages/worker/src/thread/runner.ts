/** Runs a backend on a thread, so that whatever it blocks, the worker still hears and answers the supervisor. */
import { Worker } from 'node:worker_threads';
import type { Answer, Job, LoadContext, Loaded, Runner } from '../backend.js';
import { WorkerFault } from '../protocol/index.js';
import {
  SLOT_FREE,
  SLOT_QUEUED,
  SLOT_REVOKED,
  SLOT_STARTED,
  THREAD_DEPTH,
  type FromThread,
  type PlainFault,
  type ThreadData,
  type ToThread,
} from './messages.js';

interface Pending {
  slot: number;
  resolve: (answer: Answer) => void;
  reject: (error: Error) => void;
}

export class ThreadRunner implements Runner {
  readonly depth = THREAD_DEPTH;
  readonly #module: URL;
  readonly #slots = new Int32Array(new SharedArrayBuffer(THREAD_DEPTH * Int32Array.BYTES_PER_ELEMENT));
  readonly #pending = new Map<number, Pending>();
  readonly #onLost: (error: WorkerFault) => void;
  #thread: Worker | undefined;
  #ended: Promise<void> = Promise.resolve();
  #closing = false;

  /**
   * @param module exports `backend`.
   * @param onLost the thread ended by itself; nothing can be run any more.
   */
  constructor(module: URL, onLost: (error: WorkerFault) => void) {
    this.#module = module;
    this.#onLost = onLost;
  }

  get busy(): boolean {
    return this.#slots.some((_, slot) => Atomics.load(this.#slots, slot) === SLOT_STARTED);
  }

  load({ worker, config, progress, log }: LoadContext): Promise<Loaded> {
    return new Promise((resolve, reject) => {
      const workerData: ThreadData = { module: this.#module.href, worker, config, slots: this.#slots };
      const thread = new Worker(new URL('./entry.js', import.meta.url), { workerData, name: 'inference' });
      this.#thread = thread;
      const lost = (error: WorkerFault) => {
        reject(error);
        for (const { reject: rejectRun } of this.#pending.values()) rejectRun(error);
        this.#pending.clear();
        if (!this.#closing) this.#onLost(error);
      };
      this.#ended = new Promise((ended) => thread.once('exit', () => ended()));
      thread.once('error', (error) => lost(WorkerFault.from(error)));
      thread.once('exit', (code) =>
        lost(new WorkerFault('INTERNAL', `the inference thread ended with code ${code}`)),
      );
      thread.on('message', (message: FromThread) => {
        switch (message.type) {
          case 'progress':
            return progress(message.stage, message.done, message.total, message.unit);
          case 'log':
            return log(message.level, message.message, message.fields);
          case 'loaded':
            return resolve(message.loaded);
          case 'load-failed':
            // It ends next, as it should, and the reason is this one.
            this.#closing = true;
            return reject(asFault(message.fault));
          case 'answer':
            return this.#settle(message.id)?.resolve(message.answer);
          case 'failed':
            return this.#settle(message.id)?.reject(asFault(message.fault));
          case 'closed':
            return undefined;
        }
      });
    });
  }

  run({ id, inputs, parameters }: Job): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (!this.#thread) return reject(new Error('the model is not loaded'));
      const slot = this.#slots.indexOf(SLOT_FREE);
      if (slot < 0)
        return reject(new Error(`more than ${THREAD_DEPTH} requests were given to the inference thread`));
      Atomics.store(this.#slots, slot, SLOT_QUEUED);
      this.#pending.set(id, { slot, resolve, reject });
      // The tensors are views into their frame's own buffer, which goes along whole.
      const buffers = new Set(inputs.map(({ data }) => data.buffer as ArrayBuffer));
      const message: ToThread = { type: 'job', slot, id, inputs, parameters };
      this.#thread.postMessage(message, [...buffers]);
    });
  }

  revoke(id: number): boolean {
    const pending = this.#pending.get(id);
    if (!pending) return false;
    return Atomics.compareExchange(this.#slots, pending.slot, SLOT_QUEUED, SLOT_REVOKED) === SLOT_QUEUED;
  }

  async close(): Promise<void> {
    this.#closing = true;
    const message: ToThread = { type: 'close' };
    this.#thread?.postMessage(message);
    await this.#ended;
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (!pending) return undefined;
    this.#pending.delete(id);
    Atomics.store(this.#slots, pending.slot, SLOT_FREE);
    return pending;
  }
}

function asFault({ code, message, retryable }: PlainFault): WorkerFault {
  return new WorkerFault(code, message, { retryable });
}
