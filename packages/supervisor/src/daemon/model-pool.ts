/** The replicas of each model: which may serve now, and that all of one model agree on its signature. */
import type { InferenceServer, Replica } from '@supervisor/server';
import type { ModelMetadata } from '@supervisor/worker/protocol';
import { UnitFailure } from '../units/failure.js';

export interface ModelPoolOptions {
  routing: 'round_robin' | 'least_loaded';
  maxQueueSize: number;
}

interface Model {
  metadata: ModelMetadata;
  replicas: Set<string>;
}

export class ModelPool {
  readonly #server: Promise<InferenceServer>;
  readonly #o: ModelPoolOptions;
  readonly #models = new Map<string, Model>();

  constructor(server: Promise<InferenceServer>, options: ModelPoolOptions) {
    this.#server = server;
    this.#o = options;
  }

  /** Takes a replica into service. Rejects one whose inputs and outputs differ from its siblings'. */
  async join(name: string, metadata: ModelMetadata, replica: Replica): Promise<void> {
    const server = await this.#server;
    let model = this.#models.get(name);
    if (!model || model.replicas.size === 0) {
      model = { metadata, replicas: new Set() };
      this.#models.set(name, model);
      server.setModel(name, metadata, this.#o);
    } else if (signature(model.metadata) !== signature(metadata)) {
      throw new UnitFailure(
        `serves ${signature(metadata)}, but its siblings serve ${signature(model.metadata)}; replicas must be alike`,
        { permanent: true },
      );
    }
    model.replicas.add(replica.id);
    server.addReplica(name, replica);
    server.setModelReady(name, true);
  }

  /** Takes a replica out of service; its requests in flight are its channel's to settle. */
  async leave(name: string, replicaId: string): Promise<void> {
    const model = this.#models.get(name);
    if (!model?.replicas.delete(replicaId)) return;
    const server = await this.#server;
    server.removeReplica(name, replicaId);
    if (model.replicas.size === 0) server.setModelReady(name, false);
  }

  readyReplicas(name: string): number {
    return this.#models.get(name)?.replicas.size ?? 0;
  }
}

function signature({ inputs, outputs }: ModelMetadata): string {
  const list = (specs: ModelMetadata['inputs']) =>
    specs.map(({ name, datatype, shape }) => `${name}:${datatype}[${shape.join(',')}]`).join(' ');
  return `(${list(inputs)}) -> (${list(outputs)})`;
}
