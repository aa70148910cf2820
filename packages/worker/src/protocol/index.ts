export { DATATYPES, datatypeBytes, isDatatype, type Datatype } from './datatypes.js';
export {
  exitCodeOf,
  PROTOCOL_ERROR_CODES,
  ProtocolError,
  WORKER_ERROR_CODES,
  WORKER_EXIT,
  WorkerFault,
  type ProtocolErrorCode,
  type WorkerErrorCode,
} from './errors.js';
export { encodeHostMessage, encodeWorkerMessage, FrameDecoder } from './frames.js';
export { DEFAULT_LIMITS, type ProtocolLimits } from './limits.js';
export {
  PROTOCOL_VERSION,
  type HostMessage,
  type LogLevel,
  type RequestParameters,
  type WorkerMessage,
} from './messages.js';
export {
  byteLength,
  elementCount,
  shapeMatches,
  tensorProblem,
  type ModelMetadata,
  type Tensor,
  type TensorSpec,
} from './tensors.js';
