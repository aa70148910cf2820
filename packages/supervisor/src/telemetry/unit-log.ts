/** What one unit writes: each line to its own rotated file, and tagged into the daemon's stream. */
import type { Readable } from 'node:stream';
import winston from 'winston';
import { closeLogger, rotatedFile } from './rotated-file.js';

export interface UnitLogOptions {
  unit: string;
  filename: string;
  /** Called for each line, for the tagged stream. */
  onLine(unit: string, line: string): void;
  onError(error: Error): void;
}

/** Longest line kept whole; a unit that writes no newline must not grow our memory. */
const MAX_LINE_CHARACTERS = 64 * 1024;
/** Lines kept to explain an exit. */
const LAST_LINES = 3;

const asWritten = winston.format.printf(({ message }) => String(message));

export class UnitLog {
  readonly #o: UnitLogOptions;
  readonly #logger: winston.Logger;
  #last: string[] = [];
  #closed = false;
  /** The file was given up: lines still go to the stream, and nobody waits for the disk. */
  #lost = false;
  readonly #paused = new Set<Readable>();

  constructor(options: UnitLogOptions) {
    this.#o = options;
    this.#logger = rotatedFile(options.filename, asWritten, (error) => {
      this.#lost = true;
      this.#resume();
      options.onError(error);
    });
    this.#logger.on('drain', () => this.#resume());
  }

  /** Logs each line of the stream until it ends or is destroyed. */
  follow(stream: Readable, look?: (line: string) => void): Promise<void> {
    const lines = new LineSplitter();
    const take = (complete: string[]) => {
      this.#put(complete);
      if (look) complete.forEach(look);
    };
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      take(lines.push(text));
      // Faster than the disk: the unit waits in its next write, instead of our memory growing.
      if (this.#lost || !this.#logger.writableNeedDrain) return;
      stream.pause();
      this.#paused.add(stream);
    });
    return new Promise((resolve) => {
      stream.once('close', () => {
        take(lines.end());
        resolve();
      });
      // A broken pipe ends the stream; the process's exit is what gets reported.
      stream.on('error', () => undefined);
    });
  }

  /** A new run begins: what the one before said explains nothing about it. */
  beginRun(): void {
    this.#last = [];
  }

  write(line: string): void {
    this.#put([line]);
  }

  /** A remark of the supervisor's own among the unit's lines. */
  note(text: string): void {
    const last = this.#last;
    this.#put([`[supervisor] ${text}`]);
    this.#last = last;
  }

  /** The latest lines, oldest first, each shortened to what fits a message. */
  lastLines(): string[] {
    return this.#last.map((line) => (line.length > 200 ? `${line.slice(0, 200)}...` : line));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await closeLogger(this.#logger);
  }

  #resume(): void {
    for (const stream of this.#paused) stream.resume();
    this.#paused.clear();
  }

  /** One entry for all lines of a chunk: an entry each would cost a hundred times as much memory. */
  #put(lines: string[]): void {
    if (this.#closed || lines.length === 0) return;
    this.#last = [...this.#last, ...lines.slice(-LAST_LINES)].slice(-LAST_LINES);
    const time = new Date().toISOString();
    if (!this.#lost) {
      this.#logger.write({ level: 'info', message: lines.map((line) => `${time} ${line}`).join('\n') });
    }
    for (const line of lines) this.#o.onLine(this.#o.unit, line);
  }
}

class LineSplitter {
  #rest = '';

  /** Lines completed by this text. */
  push(text: string): string[] {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > MAX_LINE_CHARACTERS) lines.push(...this.end());
    return lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  }

  /** What stood after the last newline. */
  end(): string[] {
    const rest = this.#rest;
    this.#rest = '';
    return rest ? [rest] : [];
  }
}
