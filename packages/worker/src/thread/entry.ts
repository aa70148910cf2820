/** Runs in the inference thread: loads the backend's module, then takes one request after the other. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Backend, LoadedModel } from '../backend.js';
import { WorkerFault, type Tensor } from '../protocol/index.js';
import {
  SLOT_QUEUED,
  SLOT_STARTED,
  type FromThread,
  type PlainFault,
  type ThreadData,
  type ToThread,
} from './messages.js';

const { module, worker, config, slots } = workerData as ThreadData;
const port = parentPort;
if (!port) throw new Error('thread/entry.js runs in a worker thread only');

const never = new AbortController().signal;
const model = await load();
if (model) {
  // One after the other, whatever the backend awaits: the device is one.
  let last = Promise.resolve();
  port.on('message', (message: ToThread) => {
    last = last.then(() => (message.type === 'job' ? run(model, message) : close(model)));
  });
}

async function load(): Promise<LoadedModel | undefined> {
  try {
    const { backend } = await importBackend();
    if (typeof backend?.load !== 'function') {
      throw new WorkerFault('CONFIG_INVALID', `${module} does not export a "backend" with a load() function`);
    }
    const loaded = await backend.load({
      worker,
      config,
      progress: (stage, done, total, unit) => post({ type: 'progress', stage, done, total, unit }),
      log: (level, message, fields) => post({ type: 'log', level, message, ...(fields && { fields }) }),
    });
    const { metadata, device, notes } = loaded;
    post({ type: 'loaded', loaded: { metadata, device, ...(notes && { notes }) } });
    return loaded;
  } catch (error) {
    post({ type: 'load-failed', fault: plain(error) });
    return undefined;
  }
}

async function importBackend(): Promise<{ backend?: Backend }> {
  try {
    return (await import(module)) as { backend?: Backend };
  } catch (cause) {
    throw new WorkerFault('LOAD_FAILED', `loading ${module} failed: ${(cause as Error).message}`, { cause });
  }
}

async function run(loaded: LoadedModel, job: Extract<ToThread, { type: 'job' }>): Promise<void> {
  const { id, inputs, parameters, slot } = job;
  if (Atomics.compareExchange(slots, slot, SLOT_QUEUED, SLOT_STARTED) !== SLOT_QUEUED) {
    const fault = plain(new WorkerFault('CANCELLED', 'revoked before it started'));
    return post({ type: 'failed', id, fault });
  }
  try {
    const frame = inputs[0]?.data.buffer;
    const { outputs, parameters: said } = await loaded.infer(inputs, { parameters, signal: never });
    const { tensors, transfer } = giveAway(outputs, frame);
    post({ type: 'answer', id, answer: { outputs: tensors, ...(said && { parameters: said }) } }, transfer);
  } catch (error) {
    post({ type: 'failed', id, fault: plain(error) });
  }
}

async function close(loaded: LoadedModel): Promise<void> {
  await loaded.close?.();
  post({ type: 'closed' });
  port?.close();
}

/**
 * Outputs whose buffers can be moved to the main thread: those that own their whole buffer, and views into the request's
 * own frame. Everything else, such as a Buffer from Node's pool, is copied, since moving it would take other data along.
 */
function giveAway(outputs: Tensor[], frame: ArrayBufferLike | undefined) {
  const transfer = new Set<ArrayBuffer>();
  const tensors = outputs.map((tensor) => {
    let { data } = tensor;
    const whole = data.byteOffset === 0 && data.byteLength === data.buffer.byteLength;
    if (!(data.buffer instanceof ArrayBuffer) || !(whole || data.buffer === frame))
      data = Uint8Array.from(data);
    transfer.add(data.buffer as ArrayBuffer);
    return { ...tensor, data };
  });
  return { tensors, transfer: [...transfer] };
}

function post(message: FromThread, transfer?: ArrayBuffer[]): void {
  port?.postMessage(message, transfer);
}

function plain(error: unknown): PlainFault {
  const { code, message, retryable } = WorkerFault.from(error);
  return { code, message, retryable };
}
