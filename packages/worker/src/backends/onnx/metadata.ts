/** What the model says about its inputs and outputs, in the protocol's words. */
import type { InferenceSession } from 'onnxruntime-node';
import { WorkerFault, type Datatype, type ModelMetadata, type TensorSpec } from '../../protocol/index.js';

const DATATYPES: Record<string, Datatype> = {
  bool: 'BOOL',
  uint8: 'UINT8',
  uint16: 'UINT16',
  uint32: 'UINT32',
  uint64: 'UINT64',
  int8: 'INT8',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  float16: 'FP16',
  float32: 'FP32',
  float64: 'FP64',
  string: 'BYTES',
};

/** Throws CONFIG_INVALID when the model has no batch dimension where one was asked for. */
export function readMetadata(session: InferenceSession, maxBatchSize: number): ModelMetadata {
  const inputs = session.inputMetadata.map(readSpec);
  const outputs = session.outputMetadata.map(readSpec);
  if (maxBatchSize > 0) {
    for (const { name, shape } of inputs) {
      if (shape[0] === -1) continue;
      throw new WorkerFault(
        'CONFIG_INVALID',
        `max_batch_size is ${maxBatchSize}, but input "${name}" of the model has the shape [${shape.join(', ')}], whose first ` +
          'dimension is not open; export the model with a dynamic batch dimension or set max_batch_size: 0',
      );
    }
  }
  return { platform: 'onnxruntime_onnx', inputs, outputs, maxBatchSize };
}

function readSpec(value: InferenceSession.ValueMetadata): TensorSpec {
  const { name } = value;
  if (!value.isTensor) {
    throw new WorkerFault(
      'CONFIG_INVALID',
      `"${name}" of the model is not a tensor; only tensors can be served`,
    );
  }
  const datatype = DATATYPES[value.type];
  if (!datatype) {
    throw new WorkerFault(
      'CONFIG_INVALID',
      `"${name}" of the model has the type ${value.type}, which cannot be served`,
    );
  }
  return { name, datatype, shape: value.shape.map((size) => (typeof size === 'number' ? size : -1)) };
}
