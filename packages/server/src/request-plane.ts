/**
 * What a request means, whatever carries it: the models there are, which of them are ready, and the way of
 * an inference request from its message to a replica and back. A transport turns bytes into these calls.
 */
import type { ModelMetadata, RequestParameters, Tensor } from '@supervisor/worker/protocol';
import type { ModelInferRequest, ModelInferResponse, ModelReference } from './codec/inference.js';
import { ServerError } from './errors.js';
import type { InferResult, Replica } from './scheduling/replica.js';
import { Scheduler } from './scheduling/scheduler.js';
import type { Routing } from './scheduling/route.js';
import { selectOutputs, validateRequest } from './validate.js';

export interface ModelOptions {
  routing: Routing;
  /** Requests that may wait for a replica; more are refused at once. */
  maxQueueSize: number;
}

export interface ModelStats {
  model: string;
  inFlight: number;
  queued: number;
  succeeded: number;
  failed: number;
}

export interface InferCall {
  readonly response: Promise<ModelInferResponse>;
  /** Drops or aborts the request; does nothing once it is answered. */
  cancel(why: () => ServerError): void;
}

export interface DrainResult {
  /** Requests that ended by themselves while the server drained, well or not. */
  finished: number;
  /** Requests that were cut off. */
  cancelled: number;
}

interface Model {
  /** Unknown until the first worker has loaded. */
  metadata: ModelMetadata | undefined;
  isReady: boolean;
  scheduler: Scheduler;
}

interface Drain {
  result: Promise<DrainResult>;
  cutOff: () => void;
}

type Phase = 'serving' | 'draining' | 'closed';

const DEFAULT_MODEL_OPTIONS: ModelOptions = { routing: 'least_loaded', maxQueueSize: 1024 };

/** The version of a model that does not say its own. */
const DEFAULT_VERSION = '1';

export class RequestPlane {
  readonly #maxBytes: number;
  readonly #models = new Map<string, Model>();
  #phase: Phase = 'serving';
  #drain: Drain | undefined;
  /** Called after every change that can change what is ready. */
  onReadinessChange: () => void = () => undefined;

  constructor(options: { maxBytes: number }) {
    this.#maxBytes = options.maxBytes;
  }

  get isLive(): boolean {
    return this.#phase !== 'closed';
  }

  /** All models, at least one, ready, and new requests taken. */
  get isReady(): boolean {
    if (this.#phase !== 'serving' || this.#models.size === 0) return false;
    return [...this.#models.values()].every(({ isReady }) => isReady);
  }

  get models(): string[] {
    return [...this.#models.keys()];
  }

  get stats(): ModelStats[] {
    return [...this.#models].map(([model, { scheduler }]) => ({ model, ...scheduler.stats }));
  }

  /** `undefined` for a model that does not exist. */
  readiness(model: string): boolean | undefined {
    const found = this.#models.get(model);
    return found && found.isReady && this.#phase === 'serving';
  }

  isModelReady({ name, version }: ModelReference): boolean {
    const model = this.#models.get(name);
    return this.readiness(name) === true && (version === '' || version === versionOf(model?.metadata));
  }

  /** Throws `ServerError` for a model or version that does not exist, or that has not loaded yet. */
  modelMetadata(reference: ModelReference): { model: ModelReference; metadata: ModelMetadata } {
    const { name } = reference;
    const { metadata } = this.#find(reference);
    return { model: { name, version: versionOf(metadata) }, metadata };
  }

  /** Throws `ServerError` when the request is refused. `deadline`: milliseconds since the epoch, Infinity = none. */
  infer(request: ModelInferRequest, deadline: number): InferCall {
    const { name } = request.model;
    if (this.#phase !== 'serving') throw this.#refusal();
    const { metadata, model } = this.#find(request.model);
    if (!model.isReady) throw notReady(name);
    const { inputs, bytes, outputs } = validateRequest(request, {
      model: name,
      metadata,
      maxBytes: this.#maxBytes,
    });
    const parameters = hasKeys(request.parameters) ? { parameters: request.parameters } : {};
    const ticket = model.scheduler.submit({ inputs, bytes, deadline, ...parameters });
    const answer = { model: { name, version: versionOf(metadata) }, id: request.id };
    return {
      response: ticket.result.then((result) => ({ ...answer, ...outputsOf(result, outputs, name) })),
      cancel: (why) => ticket.cancel(why),
    };
  }

  setModel(name: string, metadata: ModelMetadata | undefined, options: Partial<ModelOptions>): void {
    const scheduling = { ...DEFAULT_MODEL_OPTIONS, ...options, model: name };
    const model = this.#models.get(name);
    if (model) {
      model.metadata = metadata ?? model.metadata;
      model.scheduler.configure(scheduling);
    } else {
      this.#models.set(name, { metadata, isReady: false, scheduler: new Scheduler(scheduling) });
    }
    this.onReadinessChange();
  }

  removeModel(name: string): void {
    const model = this.#models.get(name);
    if (!model) return;
    this.#models.delete(name);
    model.scheduler.cancelAll(
      () =>
        new ServerError(
          'MODEL_NOT_READY',
          `model "${name}" was removed while the request waited; try another`,
        ),
    );
    this.onReadinessChange();
  }

  addReplica(name: string, replica: Replica): void {
    this.#known(name).scheduler.addReplica(replica);
  }

  /** Does nothing for a model or replica that is not there. */
  removeReplica(name: string, id: string): void {
    this.#models.get(name)?.scheduler.removeReplica(id);
  }

  setModelReady(name: string, isReady: boolean): void {
    const model = this.#known(name);
    if (model.isReady === isReady) return;
    model.isReady = isReady;
    this.onReadinessChange();
  }

  /** Takes no more requests, waits for those there are, and after `drainMs` cuts them off. A later call can only shorten it. */
  async drain(drainMs: number): Promise<DrainResult> {
    const drain = (this.#drain ??= this.#startDraining());
    const timer = setTimeout(drain.cutOff, drainMs);
    try {
      return await drain.result;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Cuts off what there is and answers no more. */
  close(): void {
    this.#phase = 'closed';
    this.onReadinessChange();
    for (const { scheduler } of this.#models.values()) scheduler.cancelAll(stopped);
  }

  #startDraining(): Drain {
    const schedulers = [...this.#models.values()].map(({ scheduler }) => scheduler);
    const atStart = schedulers.reduce((sum, { unsettled }) => sum + unsettled, 0);
    let cancelled = 0;
    const cutOff = () => schedulers.forEach((scheduler) => (cancelled += scheduler.cancelAll(stopped)));
    const idle = Promise.all(schedulers.map((scheduler) => scheduler.whenIdle()));
    if (this.#phase === 'serving') this.#phase = 'draining';
    this.onReadinessChange();
    return { cutOff, result: idle.then(() => ({ finished: atStart - cancelled, cancelled })) };
  }

  #find({ name, version }: ModelReference): { model: Model; metadata: ModelMetadata } {
    if (this.#phase === 'closed') throw stopped();
    const model = this.#models.get(name);
    if (!model) {
      const models = this.models.map((each) => `"${each}"`).join(', ');
      throw new ServerError(
        'MODEL_NOT_FOUND',
        `there is no model "${name}"; ${models ? `there are ${models}` : 'there are no models'}`,
      );
    }
    const { metadata } = model;
    if (!metadata) throw notReady(name);
    const served = versionOf(metadata);
    if (version !== '' && version !== served) {
      throw new ServerError(
        'VERSION_NOT_FOUND',
        `model "${name}" has no version "${version}"; it has "${served}", which an empty version stands for too`,
      );
    }
    return { model, metadata };
  }

  #known(name: string): Model {
    const model = this.#models.get(name);
    if (!model) throw new Error(`there is no model "${name}": call setModel first`);
    return model;
  }

  #refusal(): ServerError {
    if (this.#phase === 'closed') return stopped();
    return new ServerError(
      'DRAINING',
      'the server is stopping and takes no new requests; send them to another or try again later',
    );
  }
}

function outputsOf(
  { outputs, parameters }: InferResult,
  names: readonly string[],
  model: string,
): { outputs: Tensor[]; parameters?: RequestParameters } {
  return { outputs: selectOutputs(outputs, names, model), ...(parameters && { parameters }) };
}

function versionOf(metadata: ModelMetadata | undefined): string {
  return metadata?.version ?? DEFAULT_VERSION;
}

function notReady(name: string): ServerError {
  return new ServerError(
    'MODEL_NOT_READY',
    `model "${name}" is not ready: its workers are loading or being restarted; try again later`,
  );
}

function stopped(): ServerError {
  return new ServerError(
    'SERVER_STOPPED',
    'the server stopped before the request was answered; send it to another or try again later',
  );
}

function hasKeys(parameters: RequestParameters): boolean {
  for (const _key in parameters) return true;
  return false;
}
