/** `inference.GRPCInferenceService`: each method reads its message, asks the request plane, writes the answer. */
import type { handleUnaryCall, UntypedServiceImplementation } from '@grpc/grpc-js';
import {
  readEmpty,
  readModelInferRequest,
  readModelReference,
  writeFlag,
  writeModelInferResponse,
  writeModelMetadata,
  writeServerMetadata,
} from '../codec/inference.js';
import { ServerError } from '../errors.js';
import type { InferCall, RequestPlane } from '../request-plane.js';
import { answerError, answerWith, type Log } from './answer.js';
import { asSerialized, bytesMethod, type BytesMethod } from './transport.js';

const PATH = '/inference.GRPCInferenceService';

export const INFERENCE_SERVICE = {
  ServerLive: bytesMethod(`${PATH}/ServerLive`),
  ServerReady: bytesMethod(`${PATH}/ServerReady`),
  ModelReady: bytesMethod(`${PATH}/ModelReady`),
  ServerMetadata: bytesMethod(`${PATH}/ServerMetadata`),
  ModelMetadata: bytesMethod(`${PATH}/ModelMetadata`),
  ModelInfer: bytesMethod(`${PATH}/ModelInfer`),
} as const satisfies Record<string, BytesMethod>;

export interface ServerIdentity {
  name: string;
  version: string;
  /** Extensions of the protocol that are there; clients choose their calls by it. */
  extensions: readonly string[];
}

type Handlers = Record<keyof typeof INFERENCE_SERVICE, handleUnaryCall<Buffer, Buffer>> &
  UntypedServiceImplementation;

export function inferenceHandlers(plane: RequestPlane, server: ServerIdentity, log: Log): Handlers {
  const simple =
    (answer: (message: Buffer) => Buffer): handleUnaryCall<Buffer, Buffer> =>
    (call, callback) =>
      answerWith(callback, log, () => answer(call.request));
  const withoutFields = (answer: () => Buffer) =>
    simple((message) => {
      readEmpty(message);
      return answer();
    });
  return {
    ServerLive: withoutFields(() => writeFlag(plane.isLive)),
    ServerReady: withoutFields(() => writeFlag(plane.isReady)),
    ModelReady: simple((message) => writeFlag(plane.isModelReady(readModelReference(message)))),
    ServerMetadata: withoutFields(() => writeServerMetadata(server)),
    ModelMetadata: simple((message) => {
      const { model, metadata } = plane.modelMetadata(readModelReference(message));
      return writeModelMetadata(model, metadata);
    }),
    ModelInfer: modelInfer(plane, log),
  };
}

function modelInfer(plane: RequestPlane, log: Log): handleUnaryCall<Buffer, Buffer> {
  return (call, callback) => {
    const deadline = Number(call.getDeadline());
    let infer: InferCall;
    try {
      infer = plane.infer(readModelInferRequest(call.request), deadline);
    } catch (thrown) {
      answerError(callback, log, thrown);
      return;
    }
    // Also emitted after every answer, and when the deadline has passed.
    call.on('cancelled', () => infer.cancel(() => abandoned(deadline)));
    infer.response.then(
      (response) => answerWith(callback, log, () => asSerialized(writeModelInferResponse(response))),
      (thrown: unknown) => answerError(callback, log, thrown),
    );
  };
}

/** Nobody hears it any more: it is what the worker's log and the counters get to see. */
function abandoned(deadline: number): ServerError {
  if (Date.now() >= deadline) return new ServerError('DEADLINE_EXCEEDED', 'the deadline passed');
  return new ServerError('CANCELLED', 'the caller cancelled the request or disconnected');
}
