/** Health as the gRPC health protocol has it: service '' is the whole server, a model's name is that model. */
import type { ServingStatus } from './codec/health.js';
import type { RequestPlane } from './request-plane.js';

export class Health {
  readonly #plane: RequestPlane;
  readonly #watchers = new Set<() => void>();

  constructor(plane: RequestPlane) {
    this.#plane = plane;
  }

  status(service: string): ServingStatus {
    const isServing = service === '' ? this.#plane.isReady : this.#plane.readiness(service);
    if (isServing === undefined) return 'SERVICE_UNKNOWN';
    return isServing ? 'SERVING' : 'NOT_SERVING';
  }

  all(): [service: string, status: ServingStatus][] {
    return ['', ...this.#plane.models].map((service) => [service, this.status(service)]);
  }

  /** Reports the present status at once and then every change. Returns what ends it. */
  watch(service: string, report: (status: ServingStatus) => void): () => void {
    let last: ServingStatus | undefined;
    const update = () => {
      const status = this.status(service);
      if (status === last) return;
      last = status;
      report(status);
    };
    this.#watchers.add(update);
    update();
    return () => this.#watchers.delete(update);
  }

  /** Something changed: everyone who watches is told what is new to them. */
  refresh(): void {
    for (const update of [...this.#watchers]) update();
  }
}
