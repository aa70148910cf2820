/** The daemon's own log: JSON lines in a rotated file, and on stderr pretty for people or JSON for machines. */
import { isatty } from 'node:tty';
import winston from 'winston';
import { closeLogger, rotatedFile } from './rotated-file.js';

export interface DaemonLogOptions {
  filename: string;
  /** Whether lines also go to stderr. */
  toStderr: boolean;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export class DaemonLog {
  readonly #file: winston.Logger;
  #stream: winston.Logger | null;
  readonly #filename: string;

  constructor({ filename, toStderr }: DaemonLogOptions) {
    this.#filename = filename;
    this.#stream = toStderr ? stderrLogger() : null;
    this.#file = rotatedFile(filename, json, (error) => this.fileLost(filename, error));
  }

  /** From now on lines go to stderr too. */
  showOnStderr(): void {
    this.#stream ??= stderrLogger();
  }

  log(level: LogLevel, message: string, fields: Record<string, unknown> = {}): void {
    this.#file.log(level, message, fields);
    this.#stream?.log(level, message, fields);
  }

  /** A line of a unit's output, tagged with the unit, to the stream alone: it has a file of its own. */
  unitLine(unit: string, line: string): void {
    this.#stream?.log('info', line, { unit, output: true });
  }

  /** Reported on stderr even where lines do not go there: it is the only place left. */
  fileLost(filename: string, error: Error): void {
    const text = `cannot write the log ${filename}: ${error.message}; going on without it`;
    if (this.#stream) this.#stream.log('error', text);
    else process.stderr.write(`supervisor: ${text}\n`);
    if (filename !== this.#filename) this.#file.log('error', text);
  }

  async close(): Promise<void> {
    await Promise.all([closeLogger(this.#file), this.#stream ? closeLogger(this.#stream) : undefined]);
  }
}

const json = winston.format.combine(winston.format.timestamp(), winston.format.json());

function stderrLogger(): winston.Logger {
  const format = isatty(2) ? pretty(colours()) : json;
  const stream = new winston.transports.Stream({ stream: process.stderr });
  return winston.createLogger({ level: 'info', format, transports: [stream] });
}

function colours(): boolean {
  return !process.env['NO_COLOR'];
}

const levelColours: Record<string, string> = { error: '31', warn: '33', info: '36', debug: '90' };

function pretty(coloured: boolean): winston.Logform.Format {
  const paint = (code: string, text: string) => (coloured ? `\x1b[${code}m${text}\x1b[0m` : text);
  return winston.format.printf(({ level, message, unit, output, ...fields }) => {
    const time = paint('90', new Date().toISOString().slice(11, 19));
    const text = String(message);
    if (output && typeof unit === 'string') return `${time} ${paint('35', unit)} | ${text}`;
    const details = Object.entries(fields).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
    const tag = typeof unit === 'string' ? `${paint('35', unit)} ` : '';
    return `${time} ${paint(levelColours[level] ?? '0', level.padEnd(5))} ${tag}${text} ${paint('90', details.join(' '))}`.trimEnd();
  });
}
