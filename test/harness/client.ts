/**
 * A client of the Open Inference Protocol that shares nothing with the server: its own wire definitions, from the
 * published field numbers, so that a wrong number on the other side is seen.
 */
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import { DEADLINE_MS } from './until.js';

const definitions = protobuf.parse(
  `
  syntax = "proto3";
  message Empty {}
  message Live { bool live = 1; }
  message Ready { bool ready = 1; }
  message Named { string name = 1; string version = 2; }
  message Server { string name = 1; string version = 2; repeated string extensions = 3; }
  message TensorMetadata { string name = 1; string datatype = 2; repeated int64 shape = 3; }
  message Model {
    string name = 1; repeated string versions = 2; string platform = 3;
    repeated TensorMetadata inputs = 4; repeated TensorMetadata outputs = 5;
  }
  message Parameter { oneof choice { bool bool_param = 1; int64 int64_param = 2; string string_param = 3; } }
  message Contents {
    repeated bool bool_contents = 1; repeated int32 int_contents = 2; repeated int64 int64_contents = 3;
    repeated uint32 uint_contents = 4; repeated uint64 uint64_contents = 5; repeated float fp32_contents = 6;
    repeated double fp64_contents = 7; repeated bytes bytes_contents = 8;
  }
  message Tensor {
    string name = 1; string datatype = 2; repeated int64 shape = 3;
    map<string, Parameter> parameters = 4; Contents contents = 5;
  }
  message Infer {
    string model_name = 1; string model_version = 2; string id = 3; map<string, Parameter> parameters = 4;
    repeated Tensor inputs = 5; repeated Named outputs = 6; repeated bytes raw_input_contents = 7;
  }
  message Inferred {
    string model_name = 1; string model_version = 2; string id = 3; map<string, Parameter> parameters = 4;
    repeated Tensor outputs = 5; repeated bytes raw_output_contents = 6;
  }
  message Health { string service = 1; }
  message HealthStatus { int32 status = 1; }
`,
  { keepCase: true },
).root;

export interface TensorInput {
  name: string;
  datatype: string;
  shape: number[];
  /** Raw little-endian elements. */
  data?: Uint8Array;
  contents?: { fp32_contents?: number[] };
}

export interface Inferred {
  model_name: string;
  id: string;
  outputs: { name: string; datatype: string; shape: number[] }[];
  raw_output_contents: Uint8Array[];
}

export interface ModelMetadata {
  name: string;
  platform: string;
  inputs: { name: string; datatype: string; shape: number[] }[];
  outputs: { name: string; datatype: string; shape: number[] }[];
}

/** `grpc.health.v1`: 1 is SERVING, 2 NOT_SERVING. */
export const SERVING = 1;

export class InferenceClient {
  readonly #client: Client;

  constructor(port: number) {
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
      // The tests bring their own limits: the server's are under test.
      'grpc.max_send_message_length': -1,
      'grpc.max_receive_message_length': -1,
      // Otherwise clients of one process share a connection, and the death of one server is felt by the next.
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  async serverLive(): Promise<boolean> {
    return (await this.#call<{ live: boolean }>(`${INFERENCE}/ServerLive`, 'Empty', {}, 'Live')).live;
  }

  async serverReady(): Promise<boolean> {
    return (await this.#call<{ ready: boolean }>(`${INFERENCE}/ServerReady`, 'Empty', {}, 'Ready')).ready;
  }

  async modelReady(name: string): Promise<boolean> {
    return (await this.#call<{ ready: boolean }>(`${INFERENCE}/ModelReady`, 'Named', { name }, 'Ready'))
      .ready;
  }

  async serverMetadata(): Promise<{ name: string; version: string }> {
    return this.#call(`${INFERENCE}/ServerMetadata`, 'Empty', {}, 'Server');
  }

  async modelMetadata(name: string): Promise<ModelMetadata> {
    return this.#call(`${INFERENCE}/ModelMetadata`, 'Named', { name }, 'Model');
  }

  async health(service = ''): Promise<number> {
    return (
      await this.#call<{ status: number }>(
        '/grpc.health.v1.Health/Check',
        'Health',
        { service },
        'HealthStatus',
      )
    ).status;
  }

  async infer(
    model: string,
    inputs: TensorInput[],
    o: { deadlineMs?: number; signal?: AbortSignal; id?: string } = {},
  ): Promise<Inferred> {
    const request = {
      model_name: model,
      id: o.id ?? '',
      inputs: inputs.map(({ name, datatype, shape, contents }) => ({ name, datatype, shape, contents })),
      raw_input_contents: inputs.flatMap(({ data }) => (data ? [data] : [])),
    };
    return this.#call(`${INFERENCE}/ModelInfer`, 'Infer', request, 'Inferred', o);
  }

  close(): void {
    this.#client.close();
  }

  #call<T>(
    path: string,
    requestType: string,
    request: object,
    responseType: string,
    { deadlineMs = DEADLINE_MS, signal }: { deadlineMs?: number; signal?: AbortSignal } = {},
  ): Promise<T> {
    const input = definitions.lookupType(requestType);
    const output = definitions.lookupType(responseType);
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        path,
        (message: object) => Buffer.from(input.encode(input.fromObject(message)).finish()),
        (bytes: Buffer) =>
          output.toObject(output.decode(bytes), { defaults: true, arrays: true, longs: Number }) as T,
        request,
        new Metadata(),
        { deadline: Date.now() + deadlineMs },
        (error: ServiceError | null, response?: T) => {
          if (error) reject(error);
          else resolve(response as T);
        },
      );
      signal?.addEventListener('abort', () => call.cancel(), { once: true });
    });
  }
}

const INFERENCE = '/inference.GRPCInferenceService';

/** Four numbers for the `echo` model of the tests. */
export function fourNumbers(first = 0): TensorInput {
  const numbers = Float32Array.of(first, first + 1, first + 2, first + 3);
  return { name: 'INPUT0', datatype: 'FP32', shape: [1, 4], data: new Uint8Array(numbers.buffer) };
}

/** The numbers of a response's output. */
export function numbersOf(response: Inferred, output = 0): number[] {
  const bytes = response.raw_output_contents[output];
  if (!bytes) throw new Error(`the response has no raw output ${output}`);
  return [...new Float32Array(Uint8Array.from(bytes).buffer)];
}
