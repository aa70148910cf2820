/**
 * Keys and values of the older Python experiments that this version does not have. They were right once, so they get
 * an answer of their own instead of "unknown".
 */
import type { Path } from './place.js';

const wherever: Record<string, string> = {
  tokenizer_pool: 'models take tensors, tokenise in the client',
  pipeline: 'every request takes the whole way',
  batching: 'a request is one batch; send larger ones',
  quantization: 'give the quantised model file as path',
  max_length: 'shapes come from the model',
  compile_model: 'ONNX Runtime needs no compilation',
  compile_mode: 'ONNX Runtime needs no compilation',
  onnx_optimize: 'use graph_optimization_level',
  devices: 'give one device, and an instance for each further one',
  spares: 'use replicas',
  module: 'use command for a worker of your own',
  http_port: 'there is gRPC only',
  prometheus_port: 'use supervisor status --json',
  grpc_workers: 'the server needs no threads',
  tls: 'listen on loopback or put a proxy in front',
  auth: 'listen on loopback or put a proxy in front',
  prefill_requests: 'use warmup_iterations',
  dataset_size: 'use benchmark_requests',
  dataset: 'use inputs',
  faults: 'a run measures undisturbed',
};

/** Why a key is refused although it is known from elsewhere, and what to use; undefined for any other key. */
export function unsupportedKey(key: string): string | undefined {
  const instead = Object.hasOwn(wherever, key) ? wherever[key] : undefined;
  return instead && `${key} is not supported by this version; remove it (${instead})`;
}

const backends = new Set(['pytorch', 'mps', 'mlx', 'compiled', 'tensorrt']);

/** The same for a value, where `path` is a backend. */
export function unsupportedValue(path: Path, value: unknown): string | undefined {
  if (path.at(-1) !== 'backend' || typeof value !== 'string' || !backends.has(value)) return undefined;
  const instead =
    value === 'tensorrt'
      ? 'use backend: onnx with device: tensorrt'
      : 'use an exported .onnx file, or command';
  return `backend ${value} is not supported by this version; ${instead}`;
}
