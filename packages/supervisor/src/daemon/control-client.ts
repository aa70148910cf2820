/** Asks a running daemon something over its control socket. */
import { connect } from 'node:net';
import type { StateDir } from '../state/directory.js';
import type { ControlRequest } from './control.js';
import { boundSocketPath } from './socket-path.js';

/** A daemon that does not answer within this time is reported as not answering. */
const ANSWER_LIMIT_MS = 5000;

/** Thrown when nobody answers; a refusal by the daemon is a plain Error with its words. */
export class ControlUnavailable extends Error {
  override name = 'ControlUnavailable';
}

export async function requestControl(dir: StateDir, request: ControlRequest): Promise<unknown> {
  const line = await exchange(dir.controlSocket, `${JSON.stringify(request)}\n`);
  const reply = JSON.parse(line) as { ok: true; result: unknown } | { ok: false; error: string };
  if (!reply.ok) throw new Error(reply.error);
  return reply.result;
}

function exchange(path: string, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const bound = boundSocketPath(path);
    const socket = connect(bound.path);
    let text = '';
    const unavailable = (why: string) => {
      socket.destroy();
      reject(new ControlUnavailable(`the daemon does not answer on ${path}: ${why}`));
    };
    socket.setTimeout(ANSWER_LIMIT_MS, () => unavailable(`no answer within ${ANSWER_LIMIT_MS / 1000} s`));
    socket.setEncoding('utf8');
    socket.once('connect', () => socket.write(line));
    socket.on('error', (error) => unavailable(error.message));
    socket.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end < 0) return;
      socket.destroy();
      resolve(text.slice(0, end));
    });
    socket.once('close', () => {
      bound.close();
      unavailable('it closed the connection');
    });
  });
}
