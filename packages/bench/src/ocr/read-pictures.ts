/** Sends pictures to a served text recognition model and reads its answer. */
import { InferenceClient, type CallOptions, type Endpoint } from '../client.js';
import { pictureTensor, textModelInput } from '../inputs/text-lines.js';
import type { Picture } from './draw.js';
import type { Alphabet, RecognizedText } from './recognition.js';

export interface ReadOptions extends CallOptions {
  endpoint: Endpoint;
  model: string;
  /** Of the dictionary that came with the model. */
  alphabet: Alphabet;
}

/** One request for each picture, one after the other: texts in the order of the pictures. */
export async function readPictures(
  pictures: readonly Picture[],
  options: ReadOptions,
): Promise<RecognizedText[]> {
  const { endpoint, model, alphabet } = options;
  using client = new InferenceClient(endpoint);
  const input = textModelInput(await client.modelMetadata(model, options));
  const texts: RecognizedText[] = [];
  for (const picture of pictures) {
    const [scores] = await client.infer(client.encode(model, [pictureTensor(input, [picture])]), options);
    if (!scores) throw new RangeError(`model "${model}" answered without an output`);
    // A copy: gRPC hands out views at any offset, and numbers need theirs aligned. (`slice` of a Buffer does not copy.)
    const aligned = new Uint8Array(scores.data);
    texts.push(...alphabet.decode(new Float32Array(aligned.buffer), scores.shape));
  }
  return texts;
}
