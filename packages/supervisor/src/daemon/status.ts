/** What `status` reports, as it goes over the control socket. */
import type { Endpoints } from './messages.js';

export interface UnitStatus {
  id: string;
  kind: 'worker' | 'process';
  /** Model that a worker serves; null for a plain process. */
  model: string | null;
  state: string;
  pid: number | null;
  restarts: number;
  /** Since the unit became ready; null while it is not. */
  uptimeMs: number | null;
  /** Per cent of one core; null where it could not be measured. */
  cpuPercent: number | null;
  memoryBytes: number | null;
  /** Requests at the worker now; null for a plain process. */
  inFlight: number | null;
  completed: number | null;
  lastError: string | null;
  progress: { stage: string; done: number; total: number; unitOfWork: 'bytes' | 'steps' } | null;
}

export interface ModelStatus {
  name: string;
  ready: boolean;
  replicas: number;
  readyReplicas: number;
  succeeded: number;
  failed: number;
  queued: number;
}

export interface StatusReport {
  name: string;
  pid: number;
  runId: string;
  state: 'starting' | 'ready' | 'stopping';
  startedAt: string;
  endpoints: Endpoints;
  containment: { tier: string; degraded: string | null };
  units: UnitStatus[];
  models: ModelStatus[];
}
