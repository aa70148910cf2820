/** The .proto files through protobufjs: the independent reading that the codec is held against. Tests only. */
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';

const folder = new URL('../../../../proto/', import.meta.url);
const roots = new Map<string, protobuf.Root>();

export type Plain = Record<string, unknown>;

/** `type`: a full name, such as `inference.ModelInferRequest`. */
export function encodeMessage(type: string, value: Plain): Buffer {
  const message = messageType(type);
  return Buffer.from(message.encode(message.fromObject(value)).finish());
}

/** 64-bit numbers as strings, enums as names, absent fields as their defaults. */
export function decodeMessage(type: string, bytes: Uint8Array): Plain {
  const message = messageType(type);
  return message.toObject(message.decode(bytes), {
    longs: String,
    enums: String,
    defaults: true,
    arrays: true,
  });
}

function messageType(type: string): protobuf.Type {
  return rootOf(type).lookupType(type);
}

function rootOf(type: string): protobuf.Root {
  const file = fileOf(type);
  let root = roots.get(file);
  if (!root) {
    root = new protobuf.Root();
    root.loadSync(fileURLToPath(new URL(file, folder)), { keepCase: true });
    roots.set(file, root);
  }
  return root;
}

function fileOf(type: string): string {
  if (type.startsWith('grpc.health.')) return 'health.proto';
  return type.startsWith('grpc.reflection.') ? 'reflection.proto' : 'grpc_service.proto';
}
