/** Messages of gRPC server reflection; v1 and v1alpha are alike on the wire. Defined in proto/reflection*.proto. */
import { WIRE_BYTES, WireReader, WireWriter } from './wire.js';

export type ReflectionRequest =
  | { ask: 'file'; name: string }
  | { ask: 'symbol'; name: string }
  | { ask: 'extension'; name: string }
  | { ask: 'extension_numbers'; name: string }
  | { ask: 'services' }
  | { ask: 'nothing' };

export type ReflectionAnswer =
  | { files: Uint8Array[] }
  | { services: string[] }
  | { extensionNumbersOf: string }
  | { errorCode: number; message: string };

/** Throws `WireError`. */
export function readReflectionRequest(message: Uint8Array): ReflectionRequest {
  const reader = new WireReader(message);
  let request: ReflectionRequest = { ask: 'nothing' };
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field >= 3 && field <= 7) reader.expect(WIRE_BYTES);
    switch (field) {
      case 3:
        request = { ask: 'file', name: reader.string() };
        break;
      case 4:
        request = { ask: 'symbol', name: reader.string() };
        break;
      case 5:
        request = { ask: 'extension', name: readExtendedType(reader) };
        break;
      case 6:
        request = { ask: 'extension_numbers', name: reader.string() };
        break;
      case 7:
        reader.skip();
        request = { ask: 'services' };
        break;
      default:
        reader.skip();
    }
  }
  return request;
}

function readExtendedType(reader: WireReader): string {
  let name = '';
  const outer = reader.enter();
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) {
      reader.expect(WIRE_BYTES);
      name = reader.string();
    } else reader.skip();
  }
  reader.leave(outer);
  return name;
}

/** `request`: the message answered, which goes back with its answer. */
export function writeReflectionAnswer(request: Uint8Array, answer: ReflectionAnswer): Buffer {
  const writer = new WireWriter(1024);
  writer.bytesAt(2, request);
  if ('files' in answer) {
    writer.message(4, () => answer.files.forEach((file) => writer.bytesAt(1, file)));
  } else if ('extensionNumbersOf' in answer) {
    writer.message(5, () => writer.string(1, answer.extensionNumbersOf));
  } else if ('services' in answer) {
    writer.message(6, () =>
      answer.services.forEach((name) => writer.message(1, () => writer.string(1, name))),
    );
  } else {
    writer.message(7, () => {
      writer.int64At(1, answer.errorCode);
      writer.string(2, answer.message);
    });
  }
  return writer.finish();
}
