/** A replica under the test's control: it answers when told to. Tests only. */
import { byteLength, WorkerFault, type Tensor } from '@supervisor/worker/protocol';
import type { InferOptions, InferResult, Replica } from '../scheduling/replica.js';

export interface HeldRequest {
  inputs: Tensor[];
  options: InferOptions;
  answer(result?: InferResult): void;
  fail(error: Error): void;
}

export class FakeReplica implements Replica {
  readonly id: string;
  readonly capacity: { requests: number; bytes: number };
  inFlight = 0;
  inFlightBytes = 0;
  /** Those not answered yet, in order of arrival. */
  readonly held: HeldRequest[] = [];
  /** All that ever arrived. */
  received = 0;
  /** Answers at once, with this. */
  respond: ((inputs: Tensor[]) => InferResult | Promise<InferResult>) | undefined;
  readonly #arrivals: { count: number; resolve: () => void }[] = [];

  constructor(id: string, capacity: Partial<Replica['capacity']> = {}) {
    this.id = id;
    this.capacity = { requests: 2, bytes: 2 ** 30, ...capacity };
  }

  infer(inputs: Tensor[], options: InferOptions): Promise<InferResult> {
    const bytes = byteLength(inputs);
    this.inFlight += 1;
    this.inFlightBytes += bytes;
    this.received += 1;
    const answered = this.respond ? Promise.resolve(this.respond(inputs)) : this.#hold(inputs, options);
    for (const { count, resolve } of this.#arrivals) if (this.received >= count) resolve();
    return answered.finally(() => {
      this.inFlight -= 1;
      this.inFlightBytes -= bytes;
    });
  }

  /** Resolves when that many requests have arrived in all. */
  whenReceived(count: number): Promise<void> {
    if (this.received >= count) return Promise.resolve();
    return new Promise((resolve) => this.#arrivals.push({ count, resolve }));
  }

  #hold(inputs: Tensor[], options: InferOptions): Promise<InferResult> {
    return new Promise<InferResult>((resolve, reject) => {
      const held: HeldRequest = {
        inputs,
        options,
        answer: (result = echo(inputs)) => settle(() => resolve(result)),
        fail: (error) => settle(() => reject(error)),
      };
      const settle = (how: () => void) => {
        this.held.splice(this.held.indexOf(held), 1);
        how();
      };
      this.held.push(held);
      options.signal?.addEventListener(
        'abort',
        () => {
          if (this.held.includes(held)) held.fail(new WorkerFault('CANCELLED', 'aborted'));
        },
        { once: true },
      );
    });
  }
}

/** Output i is input i. */
export function echo(inputs: Tensor[]): InferResult {
  return { outputs: inputs.map((input, i) => ({ ...input, name: `OUTPUT${i}` })) };
}
