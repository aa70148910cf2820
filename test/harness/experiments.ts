/** Experiment files that tests start from, small and quick. */
import { join } from 'node:path';
import { fixtures } from './repository.js';

export interface Instance {
  name: string;
  [key: string]: unknown;
}

export interface ExperimentFile {
  name: string;
  [key: string]: unknown;
}

/** Short enough for a test that waits it out, long enough for a well-behaved process on a busy machine. */
export const supervision = { grace_s: 2, drain_s: 2 };

/** A model that answers with what it was sent, without a model file. */
export function echo(over: Partial<Instance> = {}): Instance {
  return {
    name: 'echo',
    backend: 'identity',
    device: 'cpu',
    max_batch_size: 8,
    inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [4] }],
    ...over,
  };
}

/** Models behind gRPC on a free port. */
export function models(name: string, instances: Instance[], over: object = {}): ExperimentFile {
  return { name, model_pool: { instances }, server: { grpc_port: 0 }, supervision, ...over };
}

/** Plain commands only. */
export function commands(name: string, processes: Instance[], over: object = {}): ExperimentFile {
  return { name, processes, supervision, ...over };
}

export function shell(name: string, script: string, over: object = {}): Instance {
  return { name, command: ['sh', '-c', script], ...over };
}

/** A model served by one of the fixture programs in place of a built-in backend. */
export function custom(program: string, over: Partial<Instance> = {}): Instance {
  return { name: 'custom', command: [process.execPath, join(fixtures, program)], ...over };
}
