/** Writes `results.json` and `results.md`, each in one step: a reader never sees half a file. */
import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BenchError } from './bench-error.js';
import type { LoadResults } from './load.js';
import { formatMarkdown } from './report.js';

/**
 * @param folder is made where it is missing
 * @returns the paths written
 * @throws BenchError RESULTS_NOT_WRITTEN
 */
export async function writeResults(
  folder: string,
  results: LoadResults & { name?: string },
): Promise<{ json: string; markdown: string }> {
  const paths = { json: join(folder, 'results.json'), markdown: join(folder, 'results.md') };
  try {
    await mkdir(folder, { recursive: true });
    await replaceFile(paths.json, `${toJson(results)}\n`);
    await replaceFile(paths.markdown, formatMarkdown(results));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new BenchError(
      'RESULTS_NOT_WRITTEN',
      `the results could not be written to ${folder}: ${reasons[code ?? ''] ?? message}`,
      error,
    );
  }
  return paths;
}

const reasons: Partial<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EEXIST: 'a file of this name is in the way',
};

/** Latencies in whole microseconds: more digits are noise and make the file three times as large. */
function toJson(results: LoadResults): string {
  return JSON.stringify(
    results,
    (key, value: unknown) =>
      key === 'latenciesMs' ? (value as number[]).map((latency) => Math.round(latency * 1000) / 1000) : value,
    2,
  );
}

async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx');
    try {
      await file.writeFile(text);
      // Otherwise a power cut may leave the new name on an empty file.
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
