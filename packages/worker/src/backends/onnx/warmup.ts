/** First inferences are slow: memory is laid out, kernels are chosen. Better before `ready` than in a request. */
import {
  datatypeBytes,
  elementCount,
  type ModelMetadata,
  type Tensor,
  type TensorSpec,
} from '../../protocol/index.js';

/** Inputs of zeros. `guessed`: a size that the model leaves open was not declared, and taken as 1. */
export function warmupInputs(
  model: ModelMetadata,
  declared: readonly TensorSpec[],
): { inputs: Tensor[]; guessed: boolean } {
  let guessed = false;
  const inputs = model.inputs.map((spec) => {
    const known = declaredShape(spec, declared);
    const shape = spec.shape.map((size, i) => {
      if (size >= 0) return size;
      const chosen = known?.[i];
      if (chosen !== undefined && chosen > 0) return chosen;
      // A batch of one is what any model must take.
      if (!(i === 0 && model.maxBatchSize > 0)) guessed = true;
      return 1;
    });
    return zeros(spec, shape);
  });
  return { inputs, guessed };
}

/** Declared shapes may leave out the batch dimension. */
function declaredShape({ name, shape }: TensorSpec, declared: readonly TensorSpec[]): number[] | undefined {
  const found = declared.find((spec) => spec.name === name);
  if (found?.shape.length === shape.length) return found.shape;
  if (found?.shape.length === shape.length - 1) return [1, ...found.shape];
  return undefined;
}

/** An element of BYTES is its length, so zeros are empty strings. */
function zeros({ name, datatype }: TensorSpec, shape: number[]): Tensor {
  const bytes = elementCount(shape) * (datatype === 'BYTES' ? 4 : datatypeBytes(datatype));
  return { name, datatype, shape, data: new Uint8Array(bytes) };
}
