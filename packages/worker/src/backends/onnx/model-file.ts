/** The model file before ONNX Runtime sees it: is it there, can it be read, and how far is the reading. */
import { open } from 'node:fs/promises';
import { WorkerFault } from '../../protocol/index.js';

const CHUNK_BYTES = 4 * 1024 * 1024;

/**
 * Reads the file from end to end, so that a slow disk shows progress in bytes; the session then loads it by path from the
 * page cache, which is what models with external data need.
 */
export async function readThrough(
  path: string,
  onProgress: (done: number, total: number) => void,
): Promise<void> {
  try {
    await using file = await open(path, 'r');
    const stat = await file.stat();
    if (!stat.isFile()) throw new WorkerFault('MODEL_NOT_FOUND', `${path} is not a file`);
    if (stat.size === 0) throw new WorkerFault('MODEL_CORRUPT', `${path} is empty`);
    const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, stat.size));
    onProgress(0, stat.size);
    for (let done = 0; done < stat.size;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, done);
      if (bytesRead === 0) break;
      done += bytesRead;
      onProgress(done, stat.size);
    }
  } catch (error) {
    if (error instanceof WorkerFault) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const what = code === 'ENOENT' ? `there is no file ${path}` : `${path} cannot be read: ${message}`;
    throw new WorkerFault('MODEL_NOT_FOUND', `${what}; check "path" of the model`, { cause: error });
  }
}
