/** Messages without tensors: a header whose meta is JSON with snake_case keys. Unknown keys are ignored, so that they can be added. */
import { isDatatype } from './datatypes.js';
import { ProtocolError, WORKER_ERROR_CODES, type WorkerErrorCode } from './errors.js';
import { HEADER_BYTES, pad8, writeHeader } from './header.js';
import { MAX_CONTROL_BYTES } from './limits.js';
import type { HostMessage, LogLevel, WorkerMessage } from './messages.js';
import type { ModelMetadata, TensorSpec } from './tensors.js';

type HostControl = Exclude<HostMessage, { type: 'infer' }>;
type WorkerControl = Exclude<WorkerMessage, { type: 'result' }>;
type Json = Record<string, unknown>;

const utf8 = new TextEncoder();
const text = new TextDecoder('utf-8', { fatal: true });

/** `json` undefined: a message whose header says everything. Throws a RangeError above 1 MiB of JSON. */
export function encodeControlFrame(type: number, id: number, json: Json | undefined): Uint8Array[] {
  const meta = json ? utf8.encode(JSON.stringify(json)) : new Uint8Array(0);
  if (meta.length > MAX_CONTROL_BYTES) {
    throw new RangeError(
      `a control message of ${meta.length} bytes; at most ${MAX_CONTROL_BYTES} are allowed`,
    );
  }
  const frame = new Uint8Array(HEADER_BYTES + pad8(meta.length));
  writeHeader(frame, { type, id, metaBytes: meta.length, payloadBytes: 0 });
  frame.set(meta, HEADER_BYTES);
  return [frame];
}

export function hostJson(message: HostControl): Json | undefined {
  switch (message.type) {
    case 'hello':
      return {
        protocol: message.protocol,
        worker: message.worker,
        limits: {
          max_frame_bytes: message.limits.maxFrameBytes,
          max_in_flight: message.limits.maxInFlight,
          max_in_flight_bytes: message.limits.maxInFlightBytes,
        },
        config: message.config,
      };
    case 'cancel':
    case 'ping':
      return undefined;
    case 'shutdown':
      return { drain_ms: message.drainMs };
  }
}

export function workerJson(message: WorkerControl): Json {
  switch (message.type) {
    case 'hello':
      return { protocol: message.protocol, runtime: message.runtime, pid: message.pid };
    case 'progress':
      return { stage: message.stage, done: message.done, total: message.total, unit: message.unit };
    case 'ready':
      return { model: modelJson(message.model), device: message.device, notes: message.notes };
    case 'error':
      return { code: message.code, message: message.message, retryable: message.retryable };
    case 'pong':
      return { busy: message.busy, completed: message.completed, in_flight: message.inFlight };
    case 'stats':
      return { rss_bytes: message.rssBytes, device_bytes: message.deviceBytes };
    case 'log':
      return { level: message.level, message: message.message, fields: message.fields };
  }
}

export function readHostMessage(type: HostControl['type'], id: number, meta: Uint8Array): HostControl {
  switch (type) {
    case 'cancel':
    case 'ping':
      return { type, id };
    case 'hello': {
      const json = new Fields(type, meta);
      const protocol = json.object('protocol');
      const limits = json.object('limits');
      return {
        type,
        protocol: { min: protocol.count('min'), max: protocol.count('max') },
        worker: json.string('worker'),
        limits: {
          maxFrameBytes: limits.count('max_frame_bytes'),
          maxInFlight: limits.count('max_in_flight'),
          maxInFlightBytes: limits.count('max_in_flight_bytes'),
        },
        config: json.record('config'),
      };
    }
    case 'shutdown':
      return { type, drainMs: new Fields(type, meta).number('drain_ms') };
  }
}

export function readWorkerMessage(type: WorkerControl['type'], id: number, meta: Uint8Array): WorkerControl {
  const json = new Fields(type, meta);
  switch (type) {
    case 'hello':
      return {
        type,
        protocol: json.count('protocol'),
        runtime: json.string('runtime'),
        pid: json.count('pid'),
      };
    case 'progress':
      return {
        type,
        stage: json.string('stage'),
        done: json.number('done'),
        total: json.number('total'),
        unit: json.oneOf('unit', ['bytes', 'steps']),
      };
    case 'ready': {
      const notes = json.optional('notes', (value) => json.list('notes', value).map((note) => String(note)));
      const model = readModel(json.object('model'));
      return { type, model, device: json.string('device'), ...(notes && { notes }) };
    }
    case 'error':
      return {
        type,
        id,
        code: json.oneOf<WorkerErrorCode>('code', WORKER_ERROR_CODES),
        message: json.string('message'),
        retryable: json.boolean('retryable'),
      };
    case 'pong':
      return {
        type,
        id,
        busy: json.boolean('busy'),
        completed: json.count('completed'),
        inFlight: json.count('in_flight'),
      };
    case 'stats': {
      const deviceBytes: Record<string, number> = {};
      for (const [device, bytes] of Object.entries(json.record('device_bytes'))) {
        if (typeof bytes === 'number') deviceBytes[device] = bytes;
      }
      return { type, rssBytes: json.number('rss_bytes'), deviceBytes };
    }
    case 'log': {
      const fields = json.optional('fields', () => json.record('fields'));
      return {
        type,
        level: json.oneOf<LogLevel>('level', ['debug', 'info', 'warn', 'error']),
        message: json.string('message'),
        ...(fields && { fields }),
      };
    }
  }
}

function modelJson(model: ModelMetadata): Json {
  const { platform, inputs, outputs, maxBatchSize, version } = model;
  return { platform, version, max_batch_size: maxBatchSize, inputs, outputs };
}

function readModel(json: Fields): ModelMetadata {
  const version = json.optional('version', () => json.string('version'));
  return {
    platform: json.string('platform'),
    inputs: readSpecs(json, 'inputs'),
    outputs: readSpecs(json, 'outputs'),
    maxBatchSize: json.count('max_batch_size'),
    ...(version !== undefined && { version }),
  };
}

function readSpecs(json: Fields, key: string): TensorSpec[] {
  return json.list(key, json.record()[key]).map((item) => {
    const spec = json.child(key, item);
    const datatype = spec.string('datatype');
    if (!isDatatype(datatype)) return spec.bad('datatype', 'the name of a datatype', datatype);
    const shape = spec.list('shape', spec.record()['shape']).map((size) => {
      if (!Number.isSafeInteger(size) || (size as number) < -1)
        return spec.bad('shape', 'a list of sizes, or -1', size);
      return size as number;
    });
    return { name: spec.string('name'), datatype, shape };
  });
}

/** A JSON object whose fields are read with the type that they must have. */
class Fields {
  readonly #message: string;
  readonly #json: Json;

  constructor(message: string, meta: Uint8Array | Json) {
    this.#message = message;
    this.#json = meta instanceof Uint8Array ? parse(message, meta) : meta;
  }

  string(key: string): string {
    const value = this.#json[key];
    return typeof value === 'string' ? value : this.bad(key, 'a string', value);
  }

  boolean(key: string): boolean {
    const value = this.#json[key];
    return typeof value === 'boolean' ? value : this.bad(key, 'true or false', value);
  }

  /** Any number from 0. */
  number(key: string): number {
    const value = this.#json[key];
    return typeof value === 'number' && value >= 0 ? value : this.bad(key, 'a number from 0', value);
  }

  /** A whole number from 0. */
  count(key: string): number {
    const value = this.#json[key];
    return Number.isSafeInteger(value) && (value as number) >= 0
      ? (value as number)
      : this.bad(key, 'a whole number from 0', value);
  }

  oneOf<T extends string>(key: string, allowed: readonly T[]): T {
    const value = this.#json[key];
    return allowed.find((name) => name === value) ?? this.bad(key, `one of ${allowed.join(', ')}`, value);
  }

  list(key: string, value: unknown): unknown[] {
    return Array.isArray(value) ? value : this.bad(key, 'a list', value);
  }

  object(key: string): Fields {
    return this.child(key, this.#json[key]);
  }

  child(key: string, value: unknown): Fields {
    return isObject(value) ? new Fields(`${this.#message}.${key}`, value) : this.bad(key, 'an object', value);
  }

  /** Without a key: the whole object. */
  record(key?: string): Json {
    if (key === undefined) return this.#json;
    const value = this.#json[key];
    return isObject(value) ? value : this.bad(key, 'an object', value);
  }

  optional<T>(key: string, read: (value: unknown) => T): T | undefined {
    const value = this.#json[key];
    return value === undefined || value === null ? undefined : read(value);
  }

  bad(key: string, expected: string, found: unknown): never {
    const shown = found === undefined ? 'nothing' : JSON.stringify(found).slice(0, 100);
    throw new ProtocolError(
      'BAD_MESSAGE',
      `"${key}" of ${this.#message} must be ${expected}, found ${shown}`,
    );
  }
}

function parse(message: string, meta: Uint8Array): Json {
  let parsed: unknown;
  let source = '';
  try {
    source = text.decode(meta);
    parsed = JSON.parse(source);
  } catch (cause) {
    const shown = source || Buffer.from(meta.subarray(0, 200)).toString('latin1');
    throw new ProtocolError('BAD_MESSAGE', `${message} is not JSON in UTF-8: ${shown.slice(0, 200)}`, {
      cause,
    });
  }
  if (!isObject(parsed)) {
    throw new ProtocolError('BAD_MESSAGE', `${message} must be a JSON object, found ${source.slice(0, 200)}`);
  }
  return parsed;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
