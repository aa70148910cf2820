/** A server of the Open Inference Protocol in this process, for tests: the surface is real, the model is a function. */
import { Server, ServerCredentials, type sendUnaryData, type ServerUnaryCall, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { fileURLToPath } from 'node:url';
import type { Endpoint, ModelMetadata, Tensor, TensorMetadata } from '../client.js';

export interface FakeInfer {
  model: string;
  inputs: Tensor[];
  /** From 1, in the order of arrival. */
  number: number;
  cancelled: AbortSignal;
}

/** Answers, or throws an object with a gRPC `code` and `details`. */
export type FakeModel = (request: FakeInfer) => Tensor[] | Promise<Tensor[]>;

export class FakeServer {
  readonly endpoint: Endpoint;
  readonly #server: Server;

  static async start(metadata: ModelMetadata, model: FakeModel): Promise<FakeServer> {
    const file = fileURLToPath(new URL('../../../../proto/grpc_service.proto', import.meta.url));
    const definitions = loadSync(file, { keepCase: true, longs: Number, defaults: true });
    const server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
    let number = 0;
    server.addService(definitions['inference.GRPCInferenceService'] as never, {
      ServerLive: (_: unknown, done: sendUnaryData<object>) => done(null, { live: true }),
      ServerReady: (_: unknown, done: sendUnaryData<object>) => done(null, { ready: true }),
      ModelReady: (_: unknown, done: sendUnaryData<object>) => done(null, { ready: true }),
      ServerMetadata: (_: unknown, done: sendUnaryData<object>) => done(null, { name: 'fake' }),
      ModelMetadata: (
        { request }: ServerUnaryCall<{ name: string }, object>,
        done: sendUnaryData<object>,
      ) => {
        if (request.name === metadata.name) done(null, metadata);
        else done({ code: status.NOT_FOUND, details: `no model ${request.name}` });
      },
      ModelInfer: (call: ServerUnaryCall<WireRequest, object>, done: sendUnaryData<object>) => {
        void answer(call, ++number, model, done);
      },
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
        if (error) reject(error);
        else resolve(bound);
      });
    });
    return new FakeServer(server, port);
  }

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.endpoint = { host: '127.0.0.1', port };
  }

  close(): void {
    this.#server.forceShutdown();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

interface WireRequest {
  model_name: string;
  inputs: TensorMetadata[];
  raw_input_contents: Uint8Array[];
}

async function answer(
  call: ServerUnaryCall<WireRequest, object>,
  number: number,
  model: FakeModel,
  done: sendUnaryData<object>,
): Promise<void> {
  const cancelled = new AbortController();
  call.on('cancelled', () => cancelled.abort());
  const { model_name, inputs, raw_input_contents } = call.request;
  try {
    const outputs = await model({
      model: model_name,
      inputs: inputs.map(({ name, datatype, shape }, index) => ({
        name,
        datatype,
        shape,
        data: raw_input_contents[index] ?? new Uint8Array(),
      })),
      number,
      cancelled: cancelled.signal,
    });
    done(null, {
      model_name,
      outputs: outputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
      raw_output_contents: outputs.map(({ data }) => data),
    });
  } catch (error) {
    done(error as Error);
  }
}

/** A model of one FP32 input, four numbers an item. */
export const echoMetadata: ModelMetadata = {
  name: 'echo',
  platform: 'fake',
  inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [-1, 4] }],
  outputs: [{ name: 'OUTPUT0', datatype: 'FP32', shape: [-1, 4] }],
};

export function echo({ inputs }: FakeInfer): Tensor[] {
  return inputs.map((input, index) => ({ ...input, name: `OUTPUT${index}` }));
}
