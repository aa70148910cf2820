/** Reads log files that somebody else writes and rotates. */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';

/** Read at a time, from the end backwards and when following. */
const CHUNK_BYTES = 64 * 1024;

/** The latest `count` lines of a file, oldest first; none where there is no file. */
export function lastLines(path: string, count: number): string[] {
  const fd = openOptional(path);
  if (fd === undefined) return [];
  try {
    return takeLines(fd, fstatSync(fd).size, count);
  } finally {
    closeSync(fd);
  }
}

function takeLines(fd: number, size: number, count: number): string[] {
  let start = size;
  let newlines = 0;
  const chunks: Buffer[] = [];
  // One newline more than lines wanted: what stands before the first of them belongs to an older line.
  while (start > 0 && newlines <= count) {
    const length = Math.min(CHUNK_BYTES, start);
    start -= length;
    const chunk = Buffer.alloc(length);
    readSync(fd, chunk, 0, length, start);
    for (const byte of chunk) if (byte === 0x0a) newlines++;
    chunks.unshift(chunk);
  }
  const lines = Buffer.concat(chunks).toString('utf8').split('\n');
  // Nothing after the final newline; a line that is still being written is left to whoever follows.
  lines.pop();
  return count > 0 ? lines.slice(-count) : [];
}

/**
 * A file that is read as it grows. When another file takes its place the rest of the old one is read first; a file
 * that was cut short is read from its beginning.
 */
export class FollowedFile {
  readonly #path: string;
  readonly #decoder = new StringDecoder('utf8');
  readonly #chunk = Buffer.alloc(CHUNK_BYTES);
  #fd: number | undefined;
  #inode = 0;
  #position = 0;
  #rest = '';

  /** @param from whether lines that are there already are read too */
  constructor(path: string, from: 'beginning' | 'end') {
    this.#path = path;
    this.#open();
    if (this.#fd === undefined || from === 'beginning') return;
    // From the last line's end, so that one being written is seen whole.
    const { size } = fstatSync(this.#fd);
    this.#position = size - unfinishedBytes(this.#fd, size);
  }

  /** Whole lines that were added since the last call. */
  read(): string[] {
    const lines: string[] = [];
    for (;;) {
      if (this.#fd === undefined && !this.#open()) return lines;
      this.#drain(lines);
      if (!this.#replaced()) return lines;
      this.close();
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #open(): boolean {
    this.#fd = openOptional(this.#path);
    if (this.#fd === undefined) return false;
    this.#inode = fstatSync(this.#fd).ino;
    this.#position = 0;
    this.#rest = '';
    return true;
  }

  #drain(lines: string[]): void {
    if (this.#fd === undefined) return;
    if (fstatSync(this.#fd).size < this.#position) {
      this.#position = 0;
      this.#rest = '';
    }
    for (;;) {
      const length = readSync(this.#fd, this.#chunk, 0, CHUNK_BYTES, this.#position);
      if (length === 0) return;
      this.#position += length;
      const parts = (this.#rest + this.#decoder.write(this.#chunk.subarray(0, length))).split('\n');
      this.#rest = parts.pop() ?? '';
      lines.push(...parts);
    }
  }

  /** True when the path now names another file. While it names none, a rotation is half done: the old one stays. */
  #replaced(): boolean {
    try {
      return statSync(this.#path).ino !== this.#inode;
    } catch {
      return false;
    }
  }
}

function unfinishedBytes(fd: number, size: number): number {
  const length = Math.min(CHUNK_BYTES, size);
  const tail = Buffer.alloc(length);
  readSync(fd, tail, 0, length, size - length);
  return length - (tail.lastIndexOf(0x0a) + 1);
}

function openOptional(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
