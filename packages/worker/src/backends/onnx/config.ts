/** The settings of an ONNX worker, read from the hello once and trusted afterwards. */
import { isDatatype, WorkerFault, type TensorSpec } from '../../protocol/index.js';
import { parseDevice, type Device } from './device.js';

export interface OnnxConfig {
  path: string;
  /** In the order to try; the first is the one that was asked for. */
  devices: [Device, ...Device[]];
  maxBatchSize: number;
  /** Shapes for the warm-up, where the model leaves sizes open. */
  inputs: TensorSpec[];
  intraOpThreads?: number;
  interOpThreads?: number;
  graphOptimizationLevel: 'disabled' | 'basic' | 'extended' | 'all';
  /** Inferences before the worker says that it is ready. */
  warmup: number;
}

const LEVELS = ['disabled', 'basic', 'extended', 'all'] as const;

/** Throws CONFIG_INVALID, naming the key and the value found. */
export function readOnnxConfig(config: Record<string, unknown>): OnnxConfig {
  const {
    path,
    device = 'cpu',
    fallback_devices: fallbacks = [],
    inputs = [],
    graph_optimization_level: level = 'all',
  } = config;
  if (typeof path !== 'string' || path === '') throw invalid('path', 'the model file', path);
  if (!Array.isArray(fallbacks)) throw invalid('fallback_devices', 'a list of devices', fallbacks);
  if (!Array.isArray(inputs)) throw invalid('inputs', 'a list of {name, datatype, shape}', inputs);
  const graphOptimizationLevel = LEVELS.find((name) => name === level);
  if (!graphOptimizationLevel)
    throw invalid('graph_optimization_level', `one of ${LEVELS.join(', ')}`, level);
  const intraOpThreads = optionalCount(config, 'intra_op_threads');
  const interOpThreads = optionalCount(config, 'inter_op_threads');
  return {
    path,
    devices: [readDevice('device', device), ...fallbacks.map((name) => readDevice('fallback_devices', name))],
    maxBatchSize: optionalCount(config, 'max_batch_size') ?? 0,
    inputs: inputs.map(readSpec),
    graphOptimizationLevel,
    warmup: optionalCount(config, 'warmup') ?? 1,
    ...(intraOpThreads !== undefined && { intraOpThreads }),
    ...(interOpThreads !== undefined && { interOpThreads }),
  };
}

function readDevice(key: string, name: unknown): Device {
  const device = typeof name === 'string' ? parseDevice(name) : undefined;
  if (!device) throw invalid(key, 'cpu, cuda[:N], tensorrt[:N], webgpu or coreml', name);
  return device;
}

function readSpec(input: Partial<TensorSpec> | null): TensorSpec {
  const { name, datatype, shape } = input ?? {};
  if (typeof name !== 'string' || !isDatatype(datatype) || !Array.isArray(shape)) {
    throw invalid('inputs', 'a list of {name, datatype, shape}', input);
  }
  return { name, datatype, shape };
}

function optionalCount(config: Record<string, unknown>, key: string): number | undefined {
  const value = config[key];
  if (value === undefined || value === null) return undefined;
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    throw invalid(key, 'a whole number from 0', value);
  return value as number;
}

function invalid(key: string, expected: string, found: unknown): WorkerFault {
  return new WorkerFault(
    'CONFIG_INVALID',
    `onnx backend: "${key}" must be ${expected}, found ${JSON.stringify(found)}`,
  );
}
