/** The gRPC server itself: connections in, methods registered as bytes to bytes, and an end that leaves nothing. */
import type { Server as NetServer, Socket } from 'node:net';
import { Server, ServerCredentials, type ConnectionInjector, type MethodDefinition } from '@grpc/grpc-js';
import type { GatheredMessage } from '../codec/gathered-message.js';
import { withLargeReceiveWindow } from './receive-window.js';

/** Bytes in, bytes out: messages are read and written in codec/, where what is malformed can be told from what broke. */
export type BytesMethod = MethodDefinition<Buffer, Buffer>;

/**
 * What grpc-js does with a serialized answer is to take its length and to copy it behind the five bytes of
 * its frame. An answer that is still in pieces can do both, which saves a copy of every tensor.
 */
export function asSerialized(message: GatheredMessage): Buffer {
  return message as unknown as Buffer;
}

/** How long `close()` waits for clients to take their last answers and close their side. */
const CLOSE_GRACE_MS = 1000;

export class GrpcTransport {
  readonly server: Server;
  #injector: ConnectionInjector | undefined;
  readonly #sockets = new Set<Socket>();
  readonly #listeners = new Map<NetServer, (socket: Socket) => void>();
  #closed: Promise<void> | undefined;
  #whenEmpty: () => void = () => undefined;

  constructor(options: { maxMessageBytes: number }) {
    this.server = new Server({
      'grpc.max_receive_message_length': options.maxMessageBytes,
      'grpc.max_send_message_length': -1,
      // Bookkeeping of every call for a service that is not offered.
      'grpc.enable_channelz': 0,
    });
  }

  /** Takes the connections of a bound listener from now on. */
  serve(listener: NetServer): void {
    if (this.#closed) throw new Error('the server is closed: make a new one');
    if (this.#listeners.has(listener)) return;
    this.#injector ??= withLargeReceiveWindow(() =>
      this.server.createConnectionInjector(ServerCredentials.createInsecure()),
    );
    const take = (socket: Socket) => this.#take(socket);
    this.#listeners.set(listener, take);
    listener.on('connection', take);
  }

  /** Lets answers that are on their way out arrive, then ends every connection. Calls still open are ended too. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  #take(socket: Socket): void {
    this.#sockets.add(socket);
    // Small answers go out at once; a reset by the peer ends its calls and is nobody's error.
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      if (this.#sockets.size === 0) this.#whenEmpty();
    });
    this.#injector?.injectConnection(socket);
  }

  async #close(): Promise<void> {
    for (const [listener, take] of this.#listeners) {
      listener.off('connection', take);
      // The listener's owner closes it after this: until then a new connection must not keep it open.
      listener.on('connection', (socket: Socket) => socket.destroy());
    }
    this.#listeners.clear();
    const empty = new Promise<void>((resolve) => (this.#whenEmpty = resolve));
    if (this.#sockets.size === 0) this.#whenEmpty();
    // Its callback waits for clients without end: the sockets, which are ours, are what is waited for.
    this.server.tryShutdown(() => undefined);
    const force = setTimeout(() => {
      this.server.forceShutdown();
      // A session that waits for the peer to close its side is out of reach of forceShutdown.
      for (const socket of this.#sockets) socket.destroy();
    }, CLOSE_GRACE_MS);
    await empty;
    clearTimeout(force);
    this.server.forceShutdown();
  }
}

/** A method without streaming at either end, or with. `path` as in `/package.Service/Method`. */
export function bytesMethod(
  path: string,
  stream: { request?: boolean; response?: boolean } = {},
): BytesMethod {
  return {
    path,
    requestStream: stream.request ?? false,
    responseStream: stream.response ?? false,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}
