/** `grpc.reflection.v1.ServerReflection` and its v1alpha, which older tools ask for. */
import { status, type handleBidiStreamingCall, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { readReflectionRequest, writeReflectionAnswer, type ReflectionAnswer } from '../codec/reflection.js';
import { DESCRIPTORS, type FileDescriptor } from '../descriptors.generated.js';
import { statusOf, type Log } from './answer.js';
import { bytesMethod, type BytesMethod } from './transport.js';

export const REFLECTION_SERVICES: Record<string, BytesMethod>[] = ['v1', 'v1alpha'].map((version) => ({
  ServerReflectionInfo: bytesMethod(`/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`, {
    request: true,
    response: true,
  }),
}));

/** `closing`: aborts when open streams must end. */
export function reflectionHandlers(log: Log, closing: AbortSignal): UntypedServiceImplementation {
  const info: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    const end = () => call.end();
    closing.addEventListener('abort', end, { once: true });
    call.on('cancelled', () => closing.removeEventListener('abort', end));
    call.on('data', (message: Buffer) => {
      try {
        if (!call.write(writeReflectionAnswer(message, reflect(message)))) call.pause();
      } catch (thrown) {
        call.emit('error', statusOf(thrown, log));
      }
    });
    call.on('drain', () => call.resume());
    call.on('end', end);
    // A stream that was reset: its calls are over, there is nobody to tell.
    call.on('error', () => undefined);
  };
  return { ServerReflectionInfo: info };
}

function reflect(message: Buffer): ReflectionAnswer {
  const request = readReflectionRequest(message);
  switch (request.ask) {
    case 'services':
      return { services: DESCRIPTORS.flatMap(({ services }) => services) };
    case 'file':
      return fileOrError(
        DESCRIPTORS.find(({ name }) => name === request.name),
        `there is no file "${request.name}"`,
      );
    case 'symbol':
      return fileOrError(
        DESCRIPTORS.find(({ symbols }) => symbols.includes(request.name.replace(/^\./, ''))),
        `there is no symbol "${request.name}"`,
      );
    case 'extension_numbers':
      // Asked of every message by tools that look for extensions; proto3 messages have none.
      return DESCRIPTORS.some(({ symbols }) => symbols.includes(request.name))
        ? { extensionNumbersOf: request.name }
        : { errorCode: status.NOT_FOUND, message: `there is no type "${request.name}"` };
    case 'extension':
      return { errorCode: status.NOT_FOUND, message: `"${request.name}" has no extensions` };
    case 'nothing':
      return {
        errorCode: status.INVALID_ARGUMENT,
        message: 'the request asks for nothing: set one field of message_request',
      };
  }
}

function fileOrError(file: FileDescriptor | undefined, problem: string): ReflectionAnswer {
  if (!file) return { errorCode: status.NOT_FOUND, message: problem };
  return { files: [Buffer.from(file.base64, 'base64')] };
}
