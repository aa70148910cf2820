/** The request plane behind its transports: what a supervisor gives models and replicas to. */
import type { Server as NetServer } from 'node:net';
import type { ModelMetadata } from '@supervisor/worker/protocol';
import type { Log } from './grpc/answer.js';
import { HEALTH_SERVICE, healthHandlers } from './grpc/health-service.js';
import { INFERENCE_SERVICE, inferenceHandlers } from './grpc/inference-service.js';
import { REFLECTION_SERVICES, reflectionHandlers } from './grpc/reflection-service.js';
import { GrpcTransport } from './grpc/transport.js';
import { Health } from './health.js';
import { RequestPlane, type DrainResult, type ModelOptions, type ModelStats } from './request-plane.js';
import type { Replica } from './scheduling/replica.js';

export const DEFAULT_MAX_MESSAGE_BYTES = 128 * 1024 * 1024;

export interface InferenceServerOptions {
  /** What `ServerMetadata` says. */
  version: string;
  log: Log;
  limits?: {
    /** Largest message taken; default 128 MiB. */
    maxMessageBytes: number;
  };
}

export class InferenceServer {
  readonly #plane: RequestPlane;
  readonly #transport: GrpcTransport;
  readonly #closing = new AbortController();

  constructor({ version, log, limits }: InferenceServerOptions) {
    const maxMessageBytes = limits?.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES;
    this.#plane = new RequestPlane({ maxBytes: maxMessageBytes });
    this.#transport = new GrpcTransport({ maxMessageBytes });
    const health = new Health(this.#plane);
    this.#plane.onReadinessChange = () => health.refresh();
    const { server } = this.#transport;
    const { signal } = this.#closing;
    const identity = { name: 'supervisor', version, extensions: [] };
    server.addService(INFERENCE_SERVICE, inferenceHandlers(this.#plane, identity, log));
    server.addService(HEALTH_SERVICE, healthHandlers(health, log, signal));
    for (const service of REFLECTION_SERVICES) server.addService(service, reflectionHandlers(log, signal));
  }

  /**
   * A model whose workers have not loaded yet: it is there, but not ready. Optional: a model that is not
   * declared does not exist before `setModel`.
   */
  declareModel(name: string, options: Partial<ModelOptions> = {}): void {
    this.#plane.setModel(name, undefined, options);
  }

  /** Adds a model, not ready and without replicas, or changes the one there is, which keeps both. */
  setModel(name: string, metadata: ModelMetadata, options: ModelOptions): void {
    this.#plane.setModel(name, metadata, options);
  }

  /** Requests of the model that are not answered fail with UNAVAILABLE. */
  removeModel(name: string): void {
    this.#plane.removeModel(name);
  }

  /** Throws when the model does not exist or has a replica of that id. */
  addReplica(model: string, replica: Replica): void {
    this.#plane.addReplica(model, replica);
  }

  /** The replica gets no new request and may finish those it has. Requests that wait fail when it was the last one. */
  removeReplica(model: string, id: string): void {
    this.#plane.removeReplica(model, id);
  }

  /** Throws when the model does not exist. */
  setModelReady(name: string, ready: boolean): void {
    this.#plane.setModelReady(name, ready);
  }

  /** Takes the connections of a listener that is bound; who bound it closes it, after `close()`. */
  serve(listener: NetServer): void {
    this.#transport.serve(listener);
  }

  /**
   * Refuses new requests with UNAVAILABLE, lets those there are finish, and after `drainMs` ends the rest with
   * UNAVAILABLE. Called again it can only shorten the wait; both calls get the same result.
   */
  drain(drainMs: number): Promise<DrainResult> {
    return this.#plane.drain(drainMs);
  }

  /** Ends what is left: requests, streams, connections. Resolves when no socket and no timer remains. Idempotent. */
  async close(): Promise<void> {
    this.#plane.close();
    this.#closing.abort();
    await this.#transport.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  stats(): ModelStats[] {
    return this.#plane.stats;
  }
}
