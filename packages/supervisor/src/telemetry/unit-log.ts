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

const timestamped = winston.format.combine(
  winston.format.timestamp(),
  winston.format.printf(({ timestamp, message }) => `${String(timestamp)} ${String(message)}`),
);

export class UnitLog {
  readonly #o: UnitLogOptions;
  readonly #logger: winston.Logger;
  readonly #last: string[] = [];
  #closed = false;

  constructor(options: UnitLogOptions) {
    this.#o = options;
    this.#logger = rotatedFile(options.filename, timestamped, options.onError);
  }

  /** Logs each line of the stream until it ends or is destroyed. Always drains, so the unit never blocks on us. */
  follow(stream: Readable, look?: (line: string) => void): Promise<void> {
    const lines = splitLines((line) => {
      this.write(line);
      look?.(line);
    });
    stream.setEncoding('utf8');
    stream.on('data', lines.push);
    return new Promise((resolve) => {
      stream.once('close', () => {
        lines.end();
        resolve();
      });
      // A broken pipe ends the stream; the process's exit is what gets reported.
      stream.on('error', () => undefined);
    });
  }

  write(line: string): void {
    this.#last.push(line);
    if (this.#last.length > LAST_LINES) this.#last.shift();
    this.#put(line);
  }

  /** A remark of the supervisor's own among the unit's lines. */
  note(text: string): void {
    this.#put(`[supervisor] ${text}`);
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

  #put(line: string): void {
    if (this.#closed) return;
    this.#logger.write({ level: 'info', message: line });
    this.#o.onLine(this.#o.unit, line);
  }
}

function splitLines(onLine: (line: string) => void): { push(text: string): void; end(): void } {
  let rest = '';
  return {
    push: (text) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      for (const line of parts) onLine(line.endsWith('\r') ? line.slice(0, -1) : line);
      if (rest.length > MAX_LINE_CHARACTERS) {
        onLine(rest);
        rest = '';
      }
    },
    end: () => {
      if (rest) onLine(rest);
      rest = '';
    },
  };
}
