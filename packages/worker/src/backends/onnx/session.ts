/** Makes a session on the first device that works, and says what kept the others from working. */
import ort from 'onnxruntime-node';
import { WorkerFault } from '../../protocol/index.js';
import type { OnnxConfig } from './config.js';
import { deviceRemedy, executionProviders, isOutOfMemory, type Device } from './device.js';

export interface OpenedSession {
  session: ort.InferenceSession;
  device: Device;
  /** One line for each device that was passed over. */
  notes: string[];
}

/** A device that is not available is an error unless the config names others to fall back to. */
export async function openSession(config: OnnxConfig): Promise<OpenedSession> {
  const notes: string[] = [];
  let unavailable: WorkerFault | undefined;
  for (const device of config.devices) {
    try {
      const session = await createSession(config, device);
      if (unavailable) notes.push(`${unavailable.message} -- running on ${device.name} (fallback_devices)`);
      return { session, device, notes };
    } catch (error) {
      const fault = WorkerFault.from(error);
      if (fault.code !== 'DEVICE_UNAVAILABLE') throw fault;
      if (unavailable) notes.push(unavailable.message);
      unavailable = fault;
    }
  }
  if (!unavailable) throw new Error('no device to run on');
  throw notes.length === 0
    ? unavailable
    : new WorkerFault('DEVICE_UNAVAILABLE', [...notes, unavailable.message].join('; '), {
        cause: unavailable,
      });
}

async function createSession(config: OnnxConfig, device: Device): Promise<ort.InferenceSession> {
  // ONNX Runtime drops a provider that it was not built with from the list and goes on with the others.
  const available = ort.listSupportedBackends().map(({ name }) => name);
  if (!available.includes(device.provider)) {
    const what = `this build of ONNX Runtime has ${available.join(', ')} only`;
    throw new WorkerFault(
      'DEVICE_UNAVAILABLE',
      `device ${device.name} is not available: ${what}; ${deviceRemedy(device)}`,
    );
  }
  try {
    return await ort.InferenceSession.create(config.path, {
      executionProviders: executionProviders(device),
      graphOptimizationLevel: config.graphOptimizationLevel,
      ...(config.intraOpThreads !== undefined && { intraOpNumThreads: config.intraOpThreads }),
      ...(config.interOpThreads !== undefined && { interOpNumThreads: config.interOpThreads }),
    });
  } catch (cause) {
    throw explain(cause as Error, config.path, device);
  }
}

/** ONNX Runtime has no error codes here, only text. */
function explain(cause: Error, path: string, device: Device): WorkerFault {
  const message = oneLine(cause.message);
  if (/external data|external_data/i.test(message)) {
    return new WorkerFault('MODEL_NOT_FOUND', `${path} needs a data file beside it: ${message}`, { cause });
  }
  if (
    /protobuf parsing failed|does not have a graph|invalid model|invalid graph|not a registered function|unsupported model IR|This is an invalid model|Load model from .* failed/i.test(
      message,
    )
  ) {
    return new WorkerFault('MODEL_CORRUPT', `${path} is not a model that ONNX Runtime can load: ${message}`, {
      cause,
    });
  }
  if (/^Unsupported data type/.test(message)) {
    const what = `${path} has an input or output of an element type that ONNX Runtime for Node cannot pass on`;
    return new WorkerFault('CONFIG_INVALID', `${what}: ${message} (a number of onnx.TensorProto.DataType)`, {
      cause,
    });
  }
  if (isOutOfMemory(message))
    return new WorkerFault('RESOURCE_EXHAUSTED', `no memory to load ${path} on ${device.name}: ${message}`, {
      cause,
    });
  if (device.provider !== 'cpu') {
    const what = `device ${device.name} is not available: ${message}; ${deviceRemedy(device)}`;
    return new WorkerFault('DEVICE_UNAVAILABLE', what, { cause });
  }
  return new WorkerFault('LOAD_FAILED', `loading ${path} failed: ${message}`, { cause });
}

/** Without the source location in front and the line break behind. */
export function oneLine(message: string): string {
  return message
    .replace(/\S*onnxruntime_src\/\S+:\d+ .*?\)(::<lambda\(.*?\)>)?( const)? /, '')
    .replaceAll(/\s+/g, ' ')
    .trim();
}
