/**
 * grpc-js leaves the HTTP/2 receive windows of a server at 64 KB: a client then waits a round trip per 64 KB
 * of every tensor (measured: 2.7 times fewer requests per second at 602 KB). Its `flow_control_window` option
 * is read by clients only, and neither its HTTP/2 server nor a session is handed out. So the one call in
 * which it makes that server is given larger settings, through Node's public options and events.
 */
import http2, { type Http2Server, type ServerOptions } from 'node:http2';

/** Per request. What a client may send ahead of what the server has read. */
export const STREAM_WINDOW_BYTES = 1024 * 1024;
/** Per connection, all its requests together. */
export const CONNECTION_WINDOW_BYTES = 8 * 1024 * 1024;

/**
 * Runs `create`, which must make its HTTP/2 server before it returns. Returns what `create` returns; should a
 * later grpc-js make its server in another way, that server works as before, with the small windows.
 */
export function withLargeReceiveWindow<T>(create: () => T): T {
  const original = http2.createServer;
  const createServer = (options: ServerOptions): Http2Server => {
    const settings = { ...options.settings, initialWindowSize: STREAM_WINDOW_BYTES };
    const server = original({ ...options, settings });
    server.on('session', (session) => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
    return server;
  };
  http2.createServer = createServer as typeof http2.createServer;
  try {
    return create();
  } finally {
    http2.createServer = original;
  }
}
