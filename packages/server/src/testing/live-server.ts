/** A server on a port of its own, and a client that speaks bytes and plain objects to it. Tests only. */
import { createServer, type AddressInfo } from 'node:net';
import { Client, credentials, Metadata, type CallOptions, type ServiceError } from '@grpc/grpc-js';
import type { ModelMetadata } from '@supervisor/worker/protocol';
import { InferenceServer, type Log } from '../index.js';
import { decodeMessage, encodeMessage, type Plain } from './messages.js';

export const ECHO_MODEL: ModelMetadata = {
  platform: 'identity',
  inputs: [
    { name: 'x', datatype: 'FP32', shape: [-1, 4] },
    { name: 'ids', datatype: 'INT64', shape: [-1] },
  ],
  outputs: [
    { name: 'OUTPUT0', datatype: 'FP32', shape: [-1, 4] },
    { name: 'OUTPUT1', datatype: 'INT64', shape: [-1] },
  ],
  maxBatchSize: 8,
};

export interface LogLine {
  level: string;
  message: string;
  fields: Record<string, unknown> | undefined;
}

export class LiveServer {
  readonly server: InferenceServer;
  readonly client: Client;
  readonly port: number;
  readonly logged: LogLine[];
  readonly #closeListener: () => Promise<void>;

  static async start(options: { maxMessageBytes?: number } = {}): Promise<LiveServer> {
    const logged: LogLine[] = [];
    const log: Log = (level, message, fields) => logged.push({ level, message, fields });
    const { maxMessageBytes } = options;
    const server = new InferenceServer({
      version: '9.8.7',
      log,
      ...(maxMessageBytes && { limits: { maxMessageBytes } }),
    });
    const listener = createServer();
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    server.serve(listener);
    const closeListener = () => new Promise<void>((resolve) => listener.close(() => resolve()));
    return new LiveServer(server, (listener.address() as AddressInfo).port, logged, closeListener);
  }

  private constructor(
    server: InferenceServer,
    port: number,
    logged: LogLine[],
    closeListener: () => Promise<void>,
  ) {
    this.server = server;
    this.port = port;
    this.logged = logged;
    this.#closeListener = closeListener;
    this.client = this.newClient();
  }

  newClient(): Client {
    return new Client(`127.0.0.1:${this.port}`, credentials.createInsecure(), {
      'grpc.max_send_message_length': -1,
      'grpc.max_receive_message_length': -1,
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  /** `method` as in `ModelInfer`, of the inference service. Rejects with grpc-js's `ServiceError`. */
  async call(method: string, request: Plain = {}, options: CallOptions = {}): Promise<Plain> {
    const bytes = encodeMessage(`inference.${method}Request`, request);
    const answer = await this.callBytes(`/inference.GRPCInferenceService/${method}`, bytes, options);
    return decodeMessage(`inference.${method}Response`, answer);
  }

  callBytes(path: string, bytes: Buffer, options: CallOptions = {}): Promise<Buffer> {
    return this.startCall(path, bytes, options).answer;
  }

  startCall(
    path: string,
    bytes: Buffer,
    options: CallOptions = {},
    client: Client = this.client,
  ): { answer: Promise<Buffer>; cancel: () => void } {
    let cancel!: () => void;
    const answer = new Promise<Buffer>((resolve, reject) => {
      const done = (error: ServiceError | null, value?: Buffer) => (error ? reject(error) : resolve(value!));
      const call = client.makeUnaryRequest(path, asIs, asIs, bytes, new Metadata(), options, done);
      cancel = () => call.cancel();
    });
    return { answer, cancel };
  }

  async close(): Promise<void> {
    this.client.close();
    await this.server.close();
    await this.#closeListener();
  }
}

/** A valid request for `ECHO_MODEL` of that many rows. */
export function echoRequest(rows = 1, more: Plain = {}): Plain {
  return {
    model_name: 'echo',
    inputs: [
      { name: 'x', datatype: 'FP32', shape: [rows, 4] },
      { name: 'ids', datatype: 'INT64', shape: [rows] },
    ],
    raw_input_contents: [Buffer.alloc(16 * rows, 1), Buffer.alloc(8 * rows, 2)],
    ...more,
  };
}

export function asIs(bytes: Buffer): Buffer {
  return bytes;
}
