/** Messages to bytes and back. Bytes may arrive in any pieces, down to one at a time. */
import {
  encodeControlFrame,
  hostJson,
  readHostMessage,
  readWorkerMessage,
  workerJson,
} from './control-frame.js';
import { ProtocolError } from './errors.js';
import { bodyBytes, checkMagic, HEADER_BYTES, readHeader, type Header } from './header.js';
import { HOST_TYPES, WORKER_TYPES, type HostMessage, type WorkerMessage } from './messages.js';
import { decodeTensorFrame, encodeTensorFrame } from './tensor-frame.js';

/** One frame as a list of buffers to be written in this order; tensor data is not copied unless it is tiny. */
export function encodeHostMessage(message: HostMessage): Uint8Array[] {
  const type = HOST_TYPES[message.type];
  if (message.type !== 'infer')
    return encodeControlFrame(type, 'id' in message ? message.id : 0, hostJson(message));
  const { id, deadlineMs, inputs, parameters } = message;
  return encodeTensorFrame(type, id, { deadlineMs, tensors: inputs, ...(parameters && { parameters }) });
}

/** One frame as a list of buffers to be written in this order; tensor data is not copied unless it is tiny. */
export function encodeWorkerMessage(message: WorkerMessage): Uint8Array[] {
  const type = WORKER_TYPES[message.type];
  if (message.type !== 'result')
    return encodeControlFrame(type, 'id' in message ? message.id : 0, workerJson(message));
  const { id, outputs, parameters } = message;
  return encodeTensorFrame(type, id, { deadlineMs: 0, tensors: outputs, ...(parameters && { parameters }) });
}

/**
 * Bytes in, messages out.
 *
 * Every frame's body gets a buffer of its own, allocated once and only after its announced size was checked: tensors are
 * 8-aligned views into it, and the whole can be transferred to a thread.
 */
export class FrameDecoder<M extends HostMessage | WorkerMessage> {
  /** Why the stream is broken; from then on {@link push} and {@link end} throw it. */
  failure: ProtocolError | undefined;
  readonly #sender: 'host' | 'worker';
  readonly #limits: { maxFrameBytes: number };
  readonly #head = new Uint8Array(HEADER_BYTES);
  #headBytes = 0;
  #header: Header | undefined;
  #body: Uint8Array = this.#head;
  #bodyBytes = 0;

  /**
   * @param side who decodes: the `host` reads what workers say, a `worker` what the host says.
   * @param limits read anew for every frame, so that a handshake may change them.
   */
  constructor(side: 'host' | 'worker', limits: { maxFrameBytes: number }) {
    this.#sender = side === 'host' ? 'worker' : 'host';
    this.#limits = limits;
  }

  /**
   * The messages that this chunk completes. `chunk` is copied from, never kept.
   *
   * Throws a ProtocolError at the first byte that cannot be right; where whole messages came before it in the same chunk
   * they are returned first, and `failure` says at once what the next call will throw.
   */
  push(chunk: Uint8Array): M[] {
    if (this.failure) throw this.failure;
    const messages: M[] = [];
    try {
      let at = 0;
      while (at < chunk.length) {
        at = this.#header ? this.#readBody(chunk, at) : this.#readHead(chunk, at);
        if (this.#header && this.#bodyBytes === this.#body.length) messages.push(this.#finish(this.#header));
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.failure = error;
      if (messages.length === 0) throw error;
    }
    return messages;
  }

  /** Call at end of input. Throws EOF_IN_FRAME when it is inside a frame. */
  end(): void {
    if (this.failure) throw this.failure;
    if (!this.#header && this.#headBytes === 0) return;
    const [found, whole] = this.#header
      ? [HEADER_BYTES + this.#bodyBytes, HEADER_BYTES + this.#body.length]
      : [this.#headBytes, undefined];
    this.failure = new ProtocolError(
      'EOF_IN_FRAME',
      `the stream ended inside a frame, after ${found} of ${whole === undefined ? `its header's ${HEADER_BYTES}` : `its ${whole}`} bytes`,
    );
    throw this.failure;
  }

  #readHead(chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.length, at + HEADER_BYTES - this.#headBytes);
    this.#head.set(chunk.subarray(at, end), this.#headBytes);
    const seen = this.#headBytes;
    this.#headBytes += end - at;
    if (seen < 4)
      checkMagic(
        this.#head.subarray(0, this.#headBytes),
        joined(this.#head.subarray(0, seen), chunk.subarray(at)),
      );
    if (this.#headBytes === HEADER_BYTES) {
      const header = readHeader(this.#head, this.#sender, this.#limits);
      // Not zeroed: every byte of it is overwritten before anyone sees it. Never pooled: it is transferred to threads.
      this.#body = new Uint8Array(Buffer.allocUnsafeSlow(bodyBytes(header)).buffer);
      this.#bodyBytes = 0;
      this.#header = header;
    }
    return end;
  }

  #readBody(chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.length, at + this.#body.length - this.#bodyBytes);
    this.#body.set(at === 0 && end === chunk.length ? chunk : chunk.subarray(at, end), this.#bodyBytes);
    this.#bodyBytes += end - at;
    return end;
  }

  #finish(header: Header): M {
    const body = this.#body;
    this.#header = undefined;
    this.#headBytes = 0;
    this.#body = this.#head;
    return (this.#sender === 'host' ? hostMessage(header, body) : workerMessage(header, body)) as M;
  }
}

const hostTypes = new Map(
  Object.entries(HOST_TYPES).map(([name, code]) => [code, name as HostMessage['type']]),
);
const workerTypes = new Map(
  Object.entries(WORKER_TYPES).map(([name, code]) => [code, name as WorkerMessage['type']]),
);

function hostMessage(header: Header, body: Uint8Array): HostMessage {
  const type = hostTypes.get(header.type as never);
  if (type === undefined) throw new ProtocolError('BAD_HEADER', `unknown message type ${header.type}`);
  if (type === 'infer' || type === 'cancel' || type === 'ping') requireId(type, header.id);
  if (type !== 'infer') return readHostMessage(type, header.id, body.subarray(0, header.metaBytes));
  const { deadlineMs, tensors, parameters } = decodeTensorFrame(body, header.metaBytes);
  return { type, id: header.id, deadlineMs, inputs: tensors, ...(parameters && { parameters }) };
}

function workerMessage(header: Header, body: Uint8Array): WorkerMessage {
  const type = workerTypes.get(header.type as never);
  if (type === undefined) throw new ProtocolError('BAD_HEADER', `unknown message type ${header.type}`);
  if (type === 'result' || type === 'pong') requireId(type, header.id);
  if (type !== 'result') return readWorkerMessage(type, header.id, body.subarray(0, header.metaBytes));
  const { tensors, parameters } = decodeTensorFrame(body, header.metaBytes);
  return { type, id: header.id, outputs: tensors, ...(parameters && { parameters }) };
}

function requireId(type: string, id: number): void {
  if (id === 0) throw new ProtocolError('BAD_MESSAGE', `${type} needs an id other than 0`);
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}
