/**
 * The control socket: one JSON request per line, one JSON answer per line. For this user only (0600 in a 0700 folder).
 */
import { chmod, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { boundSocketPath } from './socket-path.js';

export interface ControlRequest {
  op: string;
  [key: string]: unknown;
}

export type ControlHandler = (request: ControlRequest) => Promise<unknown>;

/** A request line longer than this is refused. */
const MAX_REQUEST_CHARACTERS = 64 * 1024;

export class ControlServer {
  readonly #server: Server;
  readonly #path: string;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.#path = path;
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  static async open(path: string, handle: ControlHandler): Promise<ControlServer> {
    // A socket that is left from a killed daemon; the directory lock says that nobody listens on it.
    await rm(path, { force: true });
    const server = createServer((socket) => serve(socket, handle));
    const bound = boundSocketPath(path);
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(bound.path, resolve);
      });
      await chmod(path, 0o600);
    } finally {
      bound.close();
    }
    return new ControlServer(server, path);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await rm(this.#path, { force: true });
  }
}

function serve(socket: Socket, handle: ControlHandler): void {
  let buffered = '';
  socket.setEncoding('utf8');
  socket.on('error', () => socket.destroy());
  socket.on('data', (text: string) => {
    buffered += text;
    if (buffered.length > MAX_REQUEST_CHARACTERS) return void socket.destroy();
    const lines = buffered.split('\n');
    buffered = lines.pop() ?? '';
    for (const line of lines) void answer(socket, line, handle);
  });
}

async function answer(socket: Socket, line: string, handle: ControlHandler): Promise<void> {
  let reply: unknown;
  try {
    reply = { ok: true, result: await handle(JSON.parse(line) as ControlRequest) };
  } catch (error) {
    reply = { ok: false, error: error instanceof Error ? error.message : String(error) };
  }
  if (socket.writable) socket.write(`${JSON.stringify(reply)}\n`);
}
