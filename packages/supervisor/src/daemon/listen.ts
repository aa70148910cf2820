/** Binds a port before anything is spawned, so that a port in use costs nothing and names its holder. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { StartFailure } from './start-failure.js';

export interface BoundListener {
  host: string;
  /** The real port, also where 0 was asked for. */
  port: number;
  /** Gives the listener to whoever serves on it; connections made until now are handed on. */
  handOver(attach: (server: Server) => void): void;
  /** Frees the port. Connections that were handed over are their server's to close first. */
  close(): Promise<void>;
}

export function bindListener(host: string, port: number): Promise<BoundListener> {
  const server = createServer({ noDelay: true });
  const early: Socket[] = [];
  const keep = (socket: Socket) => early.push(socket);
  server.on('connection', keep);
  return new Promise((resolve, reject) => {
    server.once(
      'error',
      (error: NodeJS.ErrnoException) => void refuse(error, host, port).then(reject, reject),
    );
    server.listen({ host, port }, () => {
      const address = server.address() as AddressInfo;
      const handOver = (attach: (server: Server) => void) => {
        server.off('connection', keep);
        attach(server);
        for (const socket of early.splice(0)) server.emit('connection', socket);
      };
      const close = () => {
        for (const socket of early.splice(0)) socket.destroy();
        return new Promise<void>((closed) => server.close(() => closed()));
      };
      resolve({ host: address.address, port: address.port, handOver, close });
    });
  });
}

/** Whether anybody could listen there now. */
export function isPortFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

async function refuse(error: NodeJS.ErrnoException, host: string, port: number): Promise<StartFailure> {
  if (error.code !== 'EADDRINUSE') {
    return new StartFailure(
      'LISTEN_FAILED',
      `cannot listen on ${host}:${port}: ${error.message}; set server.host and server.grpc_port to an address of this machine`,
      error,
    );
  }
  const { findPortHolder } = await import('../audit/ports.js');
  const holder = await findPortHolder(port, host);
  const by = holder
    ? `held by pid ${holder.pid} (${holder.command})`
    : 'held by a process that could not be named';
  return new StartFailure(
    'PORT_IN_USE',
    `port ${port} on ${host} is in use, ${by}; stop it, or set server.grpc_port (0 takes any free port)`,
    error,
  );
}
