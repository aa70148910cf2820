/** ONNX files for tests, written field by field (IR version 8, opset 17). */
type Field = [number, Uint8Array | number | string];

/** Element types of ONNX. */
export const ONNX_TYPE = {
  float32: 1,
  uint8: 2,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
} as const;

export interface OnnxValue {
  name: string;
  type: keyof typeof ONNX_TYPE;
  /** A string is a named size that is open. */
  shape: (number | string)[];
}

export interface OnnxNode {
  operator: string;
  inputs: string[];
  outputs: string[];
}

export function onnxModel(nodes: OnnxNode[], inputs: OnnxValue[], outputs: OnnxValue[]): Uint8Array {
  const graph = message(
    ...nodes.map((node): Field => [1, nodeProto(node)]),
    [2, 'test'],
    ...inputs.map((value): Field => [11, valueInfo(value)]),
    ...outputs.map((value): Field => [12, valueInfo(value)]),
  );
  return message([1, 8], [7, graph], [8, message([1, ''], [2, 17])]);
}

/** A model that passes each input on as `<name>_out`. */
export function identityModel(inputs: OnnxValue[]): Uint8Array {
  const outputs = inputs.map((value) => ({ ...value, name: `${value.name}_out` }));
  const nodes = inputs.map(({ name }) => ({
    operator: 'Identity',
    inputs: [name],
    outputs: [`${name}_out`],
  }));
  return onnxModel(nodes, inputs, outputs);
}

function nodeProto({ operator, inputs, outputs }: OnnxNode): Uint8Array {
  const named =
    (field: number) =>
    (name: string): Field => [field, name];
  return message(...inputs.map(named(1)), ...outputs.map(named(2)), [4, operator]);
}

function valueInfo({ name, type, shape }: OnnxValue): Uint8Array {
  const dims = shape.map((size): Field => [1, message(typeof size === 'number' ? [1, size] : [2, size])]);
  const tensor = message([1, ONNX_TYPE[type]], [2, message(...dims)]);
  return message([1, name], [2, message([1, tensor])]);
}

/** A protobuf message: numbers as varints, everything else with its length in front. */
function message(...fields: Field[]): Uint8Array {
  return Buffer.concat(
    fields.map(([number, value]) => {
      if (typeof value === 'number') return Buffer.from([...varint(number << 3), ...varint(value)]);
      const bytes = Buffer.from(value);
      return Buffer.concat([Buffer.from([...varint((number << 3) | 2), ...varint(bytes.length)]), bytes]);
    }),
  );
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))];
}
