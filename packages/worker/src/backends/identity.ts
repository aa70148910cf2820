/** A model that is none: output `OUTPUT<i>` equals input i. For trying things out, and for measuring everything but a model. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Backend } from '../backend.js';
import { isDatatype, WorkerFault, type TensorSpec } from '../protocol/index.js';

export const identity: Backend = {
  async load({ config }) {
    const { inputs, maxBatchSize, delayMs } = readConfig(config);
    return {
      metadata: {
        platform: 'identity',
        inputs,
        outputs: inputs.map((spec, i) => ({ ...spec, name: `OUTPUT${i}` })),
        maxBatchSize,
      },
      device: 'cpu',
      async infer(tensors, { signal }) {
        if (delayMs > 0) await wait(delayMs, undefined, { signal });
        const given = new Map(tensors.map((tensor) => [tensor.name, tensor]));
        const outputs = inputs.flatMap(({ name }, i) => {
          const tensor = given.get(name);
          return tensor ? [{ ...tensor, name: `OUTPUT${i}` }] : [];
        });
        return { outputs };
      },
    };
  },
};

/** Declared shapes have no batch dimension; it is put in front where there is one. */
function readConfig(config: Record<string, unknown>) {
  const maxBatchSize = count(config, 'max_batch_size');
  const delayMs = count(config, 'delay_ms');
  const declared = config['inputs'];
  if (!Array.isArray(declared) || declared.length === 0) {
    throw invalid('inputs: [{name, datatype, shape}] must be given, found', declared);
  }
  const inputs = declared.map((input: Partial<TensorSpec> | null): TensorSpec => {
    const { name, datatype, shape } = input ?? {};
    const ok =
      typeof name === 'string' && isDatatype(datatype) && Array.isArray(shape) && shape.every(isSize);
    if (!ok)
      throw invalid('an input needs a name, a datatype such as FP32 and a shape such as [4], found', input);
    return { name, datatype, shape: maxBatchSize > 0 ? [-1, ...shape] : [...shape] };
  });
  return { inputs, maxBatchSize, delayMs };
}

function isSize(size: unknown): boolean {
  return Number.isSafeInteger(size) && ((size as number) >= 0 || size === -1);
}

function count(config: Record<string, unknown>, key: string): number {
  const value = config[key] ?? 0;
  if (typeof value !== 'number' || !(value >= 0))
    throw invalid(`${key} must be a number from 0, found`, value);
  return value;
}

function invalid(what: string, found: unknown): WorkerFault {
  return new WorkerFault('CONFIG_INVALID', `identity backend: ${what} ${JSON.stringify(found)}`);
}
