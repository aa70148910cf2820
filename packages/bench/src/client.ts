/** A client of the Open Inference Protocol: the wire definitions come from /proto, through proto-loader. */
import { Client, credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { loadSync, type MethodDefinition } from '@grpc/proto-loader';
import { fileURLToPath } from 'node:url';
import { BenchError } from './bench-error.js';

export interface Endpoint {
  host: string;
  port: number;
}

/** As the server declares it; -1 stands for any size. */
export interface TensorMetadata {
  name: string;
  datatype: string;
  shape: number[];
}

export interface ModelMetadata {
  name: string;
  platform: string;
  inputs: TensorMetadata[];
  outputs: TensorMetadata[];
}

/** Raw little-endian elements in row-major order; in BYTES each element is led by its length as u32. */
export interface Tensor extends TensorMetadata {
  data: Uint8Array;
}

export interface CallOptions {
  /** Default 60 s. */
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
}

/** A request whose bytes are made once and sent as often as wanted. */
export type EncodedRequest = Buffer & { readonly encodedInferRequest: unique symbol };

const DEFAULT_TIMEOUT_MS = 60_000;
/** Tensors are large: with HTTP/2's own 64 KiB window an answer of a mebibyte stops sixteen times for permission. */
const RECEIVE_WINDOW_BYTES = 8 * 1024 * 1024;

export class InferenceClient {
  readonly address: string;
  readonly #client: Client;
  readonly #service = inferenceService();

  constructor({ host, port }: Endpoint) {
    this.address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    this.#client = new Client(this.address, credentials.createInsecure(), {
      'grpc.max_send_message_length': -1,
      'grpc.max_receive_message_length': -1,
      'grpc-node.flow_control_window': RECEIVE_WINDOW_BYTES,
      // A server on this machine is not reached through a proxy.
      'grpc.enable_http_proxy': 0,
      // Otherwise two clients of one process share a connection, and each feels the other's load.
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  /** @throws BenchError UNKNOWN_MODEL or SERVER_UNREACHABLE, else what gRPC says */
  async modelMetadata(model: string, options: CallOptions = {}): Promise<ModelMetadata> {
    const method = this.#service.modelMetadata;
    try {
      return (await this.#call(method, method.requestSerialize({ name: model }), options)) as ModelMetadata;
    } catch (error) {
      const { code, details } = error as ServiceError;
      if (code === status.NOT_FOUND) {
        throw new BenchError('UNKNOWN_MODEL', `${this.address} has no model "${model}": ${details}`, error);
      }
      if (code === status.UNAVAILABLE) {
        throw new BenchError('SERVER_UNREACHABLE', `${this.address} does not serve: ${details}`, error);
      }
      throw error;
    }
  }

  encode(model: string, inputs: readonly Tensor[]): EncodedRequest {
    return this.#service.modelInfer.requestSerialize({
      model_name: model,
      inputs: inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
      raw_input_contents: inputs.map(({ data }) => data),
    }) as EncodedRequest;
  }

  /** Rejects with grpc-js's ServiceError. */
  async infer(request: EncodedRequest, options: CallOptions = {}): Promise<Tensor[]> {
    const answer = (await this.#call(this.#service.modelInfer, request, options)) as {
      outputs: TensorMetadata[];
      raw_output_contents: Uint8Array[];
    };
    return answer.outputs.map(({ name, datatype, shape }, index) => ({
      name,
      datatype,
      shape,
      data: answer.raw_output_contents[index] ?? new Uint8Array(),
    }));
  }

  /** Ends calls in flight with CANCELLED. */
  close(): void {
    this.#client.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #call(
    method: Method,
    request: Buffer,
    { timeoutMs = DEFAULT_TIMEOUT_MS, signal }: CallOptions,
  ): Promise<object> {
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        method.path,
        (bytes: Buffer) => bytes,
        method.responseDeserialize,
        request,
        new Metadata(),
        { deadline: Date.now() + timeoutMs },
        (error: ServiceError | null, answer?: object) => {
          signal?.removeEventListener('abort', cancel);
          if (error) reject(error);
          else resolve(answer ?? {});
        },
      );
      const cancel = () => call.cancel();
      signal?.addEventListener('abort', cancel, { once: true });
      if (signal?.aborted) cancel();
    });
  }
}

type Method = MethodDefinition<object, object>;

let loaded: { modelMetadata: Method; modelInfer: Method } | undefined;

/** Read when the first client is made, once. */
function inferenceService(): { modelMetadata: Method; modelInfer: Method } {
  if (loaded) return loaded;
  const file = fileURLToPath(new URL('../../../proto/grpc_service.proto', import.meta.url));
  let definitions;
  try {
    definitions = loadSync(file, { keepCase: true, longs: Number, enums: String, defaults: true });
  } catch (error) {
    throw new BenchError(
      'PROTO_UNREADABLE',
      `${file} cannot be read: ${(error as Error).message}; it is part of the checkout`,
      error,
    );
  }
  const service = definitions['inference.GRPCInferenceService'] as unknown as Record<string, Method>;
  const { ModelMetadata: modelMetadata, ModelInfer: modelInfer } = service;
  if (!modelMetadata || !modelInfer) {
    throw new BenchError('PROTO_UNREADABLE', `${file} does not define inference.GRPCInferenceService`);
  }
  loaded = { modelMetadata, modelInfer };
  return loaded;
}
