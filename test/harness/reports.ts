/** What the reporting commands say with --json, as far as the tests look at it. */
import type { Sandbox } from './sandbox.js';

export interface UnitReport {
  id: string;
  state: string;
  pid: number | null;
  restarts: number;
  inFlight: number | null;
  completed: number | null;
  lastError: string | null;
}

export interface StatusReport {
  name: string;
  pid: number;
  state: string;
  endpoints: { grpc?: { host: string; port: number } };
  units: UnitReport[];
  models: { name: string; ready: boolean; readyReplicas: number; succeeded: number; failed: number }[];
}

/** `status NAME --json` of a running experiment. */
export async function statusOf(box: Sandbox, name: string): Promise<StatusReport> {
  const { code, stdout, text } = await box.command(['status', name, '--json']);
  if (code !== 0) throw new Error(`status ended with code ${code}: ${text}`);
  return JSON.parse(stdout) as StatusReport;
}
