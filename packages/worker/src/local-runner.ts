/** Runs a backend on the worker's own loop: for backends that wait rather than compute. */
import type { Answer, Backend, Job, LoadContext, Loaded, LoadedModel, Runner } from './backend.js';

export class LocalRunner implements Runner {
  readonly depth: number;
  readonly #backend: Backend;
  readonly #running = new Map<number, AbortController>();
  #model: LoadedModel | undefined;

  /** @param concurrency requests inside of the backend at once. */
  constructor(backend: Backend, concurrency: number) {
    this.#backend = backend;
    this.depth = concurrency;
  }

  get busy(): boolean {
    return this.#running.size > 0;
  }

  async load(context: LoadContext): Promise<Loaded> {
    this.#model = await this.#backend.load(context);
    const { metadata, device, notes } = this.#model;
    return { metadata, device, ...(notes && { notes }) };
  }

  async run({ id, inputs, parameters }: Job): Promise<Answer> {
    if (!this.#model) throw new Error('the model is not loaded');
    const controller = new AbortController();
    this.#running.set(id, controller);
    try {
      return await this.#model.infer(inputs, { parameters, signal: controller.signal });
    } finally {
      this.#running.delete(id);
    }
  }

  revoke(id: number): boolean {
    this.#running.get(id)?.abort();
    return false;
  }

  async close(): Promise<void> {
    for (const controller of this.#running.values()) controller.abort();
    await this.#model?.close?.();
  }
}
