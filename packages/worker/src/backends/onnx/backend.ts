/** ONNX models on onnxruntime-node. Runs in the inference thread: `session.run` blocks the thread that calls it. */
import type ort from 'onnxruntime-node';
import type { Backend, LoadContext, LoadedModel } from '../../backend.js';
import { WorkerFault, type ModelMetadata, type Tensor } from '../../protocol/index.js';
import { readOnnxConfig, type OnnxConfig } from './config.js';
import { isDeviceLost, isOutOfMemory, type Device } from './device.js';
import { readMetadata } from './metadata.js';
import { readThrough } from './model-file.js';
import { oneLine, openSession } from './session.js';
import { fromOrt, toOrt } from './values.js';
import { warmupInputs } from './warmup.js';

export const backend: Backend = {
  async load(context): Promise<LoadedModel> {
    const config = readOnnxConfig(context.config);
    await readThrough(config.path, (done, total) => context.progress('read', done, total, 'bytes'));
    context.progress('create session', 0, 1, 'steps');
    const { session, device, notes } = await openSession(config);
    context.progress('create session', 1, 1, 'steps');
    for (const note of notes) context.log('warn', note);
    const metadata = readMetadata(session, config.maxBatchSize);
    const infer = (inputs: Tensor[]) => run(session, metadata, device, inputs);
    await warmUp(infer, metadata, config, context);
    return {
      metadata,
      device: device.name,
      ...(notes.length > 0 && { notes }),
      infer: async (inputs) => ({ outputs: await infer(inputs) }),
      close: () => session.release(),
    };
  },
};

async function run(
  session: ort.InferenceSession,
  model: ModelMetadata,
  device: Device,
  inputs: Tensor[],
): Promise<Tensor[]> {
  const feeds = Object.fromEntries(inputs.map((tensor) => [tensor.name, toOrt(tensor)]));
  let results: ort.InferenceSession.ReturnType;
  try {
    results = await session.run(feeds);
  } catch (cause) {
    throw explain(cause as Error, device);
  }
  return model.outputs.flatMap(({ name, datatype }) => {
    const value = results[name];
    return value ? [fromOrt(name, datatype, value)] : [];
  });
}

function explain(cause: Error, device: Device): WorkerFault {
  const message = oneLine(cause.message);
  if (isOutOfMemory(message)) return new WorkerFault('RESOURCE_EXHAUSTED', message, { cause });
  if (isDeviceLost(device, message)) {
    return new WorkerFault('DEVICE_UNAVAILABLE', `device ${device.name} failed: ${message}`, { cause });
  }
  return new WorkerFault('INTERNAL', message, { cause });
}

async function warmUp(
  infer: (inputs: Tensor[]) => Promise<Tensor[]>,
  metadata: ModelMetadata,
  config: OnnxConfig,
  { progress, log }: LoadContext,
): Promise<void> {
  const { inputs, guessed } = warmupInputs(metadata, config.inputs);
  for (let done = 0; done < config.warmup; done++) {
    progress('warm-up', done, config.warmup, 'steps');
    try {
      await infer(inputs);
    } catch (error) {
      const { message, code } = WorkerFault.from(error);
      const shapes = inputs.map(({ name, shape }) => `${name} [${shape.join(', ')}]`).join(', ');
      if (!guessed || code !== 'INTERNAL') {
        throw new WorkerFault(
          code === 'INTERNAL' ? 'LOAD_FAILED' : code,
          `warm-up with ${shapes} failed: ${message}`,
          { cause: error },
        );
      }
      // Not every model takes every size that it calls open: a wrong guess of ours says nothing about the model.
      log(
        'warn',
        `warm-up skipped: the model does not run with ${shapes}; declare "inputs" with usual shapes (${message})`,
      );
      return;
    }
  }
  if (config.warmup > 0) progress('warm-up', config.warmup, config.warmup, 'steps');
}
