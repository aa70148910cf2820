/** For worker authors in JavaScript: `serve(backend)` is a whole worker. docs/protocol.md is for every other language. */
export type { Answer, Backend, InferContext, LoadContext, LoadedModel } from './backend.js';
export {
  WorkerFault,
  type ModelMetadata,
  type Tensor,
  type TensorSpec,
  type WorkerErrorCode,
} from './protocol/index.js';
export { serve, type BackendSource, type ServeOptions } from './serve.js';
