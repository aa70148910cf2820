/**
 * A unix socket's address holds about a hundred bytes, and a state directory may lie deeper than that. On Linux the
 * folder is then reached through `/proc/self/fd`, which is short whatever it stands for.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';

/** `sun_path` less its final NUL: 107 bytes on Linux, 103 on macOS. */
const MAX_SOCKET_PATH_BYTES = process.platform === 'linux' ? 107 : 103;

/** The address to bind or connect to. Close it once that has happened. */
export function boundSocketPath(path: string): { path: string; close(): void } {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return { path, close: () => undefined };
  if (process.platform !== 'linux') {
    throw new Error(
      `the control socket's path is longer than ${MAX_SOCKET_PATH_BYTES} bytes: ${path}; choose a shorter --state-dir`,
    );
  }
  const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  return { path: `/proc/self/fd/${folder}/${basename(path)}`, close: () => closeSync(folder) };
}
