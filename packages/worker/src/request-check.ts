/** Holds a request to what the model says about its inputs, before anything is computed. */
import {
  shapeMatches,
  tensorProblem,
  type ModelMetadata,
  type Tensor,
  type TensorSpec,
} from './protocol/index.js';

/** What is wrong, naming the input, what was expected and what came; undefined when nothing is. */
export function requestProblem(inputs: readonly Tensor[], model: ModelMetadata): string | undefined {
  const given = new Map(inputs.map((tensor) => [tensor.name, tensor]));
  if (given.size < inputs.length) return `an input is given twice: ${names(inputs)}`;
  for (const { name } of inputs) {
    if (!model.inputs.some((spec) => spec.name === name)) {
      return `the model has no input "${name}"; its inputs are ${names(model.inputs)}`;
    }
  }
  for (const spec of model.inputs) {
    const tensor = given.get(spec.name);
    if (!tensor) return `input "${spec.name}" is missing; the model needs ${names(model.inputs)}`;
    const problem = inputProblem(tensor, spec) ?? tensorProblem(tensor);
    if (problem !== undefined) return problem;
  }
  return model.maxBatchSize > 0 ? batchProblem(inputs, model.maxBatchSize) : undefined;
}

function inputProblem({ name, datatype, shape }: Tensor, spec: TensorSpec): string | undefined {
  if (datatype !== spec.datatype) return `input "${name}" must be ${spec.datatype}, not ${datatype}`;
  if (shapeMatches(shape, spec.shape)) return undefined;
  return `input "${name}" must have the shape [${spec.shape.join(', ')}]${spec.shape.includes(-1) ? ' (-1: any size)' : ''}, not [${shape.join(', ')}]`;
}

function batchProblem(inputs: readonly Tensor[], maxBatchSize: number): string | undefined {
  const sizes = new Set(inputs.map(({ shape }) => shape[0] ?? 0));
  if (sizes.size > 1)
    return `all inputs must have the same batch size, their first dimension; found ${[...sizes].join(' and ')}`;
  for (const size of sizes) {
    if (size < 1 || size > maxBatchSize)
      return `the batch size must be 1 to ${maxBatchSize} (max_batch_size), not ${size}`;
  }
  return undefined;
}

function names(tensors: readonly { name: string }[]): string {
  return tensors.map(({ name }) => `"${name}"`).join(', ');
}
