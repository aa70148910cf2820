/**
 * How far each worker has loaded. On a terminal one line per unit, redrawn in place; elsewhere a plain line whenever
 * something changes that a reader of a log wants to know: a state, a stage, the end of a stage.
 */
import { printable, shorten } from './printable.js';
import { formatBytes } from './quantity.js';
import { styleFor, type OutputStream, type Style } from './style.js';

export interface ProgressUpdate {
  unit: string;
  state: string;
  stage?: string;
  done?: number;
  /** 0 or absent where it is not known. */
  total?: number;
  unitOfWork?: 'bytes' | 'steps';
  /** For people: what went wrong, or which device it loads on. */
  detail?: string;
}

export interface Progress {
  update(update: ProgressUpdate): void;
  /** A line of its own, above the live ones. Also works after `close`. */
  note(text: string): void;
  /** Leaves the last picture on the terminal. Idempotent; later updates are ignored. */
  close(): void;
}

export function createProgress(stream: OutputStream, env: NodeJS.ProcessEnv = process.env): Progress {
  const live = stream.isTTY === true && env['TERM'] !== 'dumb' && !env['CI'];
  return live ? new LiveProgress(stream, styleFor(stream, env)) : new PlainProgress(stream);
}

class PlainProgress implements Progress {
  readonly #stream: OutputStream;
  readonly #latest = new Map<string, string>();
  #closed = false;

  constructor(stream: OutputStream) {
    this.#stream = stream;
  }

  update(update: ProgressUpdate): void {
    if (this.#closed) return;
    const { unit, state, stage, done = 0, total = 0, detail } = update;
    const finished = total > 0 && done >= total;
    const news = JSON.stringify([state, stage, finished, detail]);
    if (this.#latest.get(unit) === news) return;
    this.#latest.set(unit, news);
    this.#stream.write(`${unit}: ${describe(update)}\n`);
  }

  note(text: string): void {
    this.#stream.write(`${printable(text)}\n`);
  }

  close(): void {
    this.#closed = true;
  }
}

/** Redrawn no oftener than this; also the spinner's pace. */
const FRAME_MS = 100;
const spinner = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const settled = new Set(['ready', 'gone', 'failed', 'waiting']);

class LiveProgress implements Progress {
  readonly #stream: OutputStream;
  readonly #style: Style;
  readonly #units = new Map<string, ProgressUpdate>();
  #timer: NodeJS.Timeout | null = null;
  #drawnLines = 0;
  #frame = 0;
  #closed = false;

  constructor(stream: OutputStream, style: Style) {
    this.#stream = stream;
    this.#style = style;
  }

  update(update: ProgressUpdate): void {
    if (this.#closed) return;
    this.#units.set(update.unit, update);
    if (this.#timer) return;
    this.#draw();
    this.#timer = setInterval(() => this.#draw(), FRAME_MS);
    // A picture is no reason to go on running.
    this.#timer.unref();
  }

  note(text: string): void {
    if (this.#closed) {
      this.#stream.write(`${printable(text)}\n`);
      return;
    }
    this.#stream.write(`${this.#erase()}${printable(text)}\n`);
    this.#draw();
  }

  close(): void {
    if (this.#closed) return;
    if (this.#timer) clearInterval(this.#timer);
    this.#draw();
    this.#closed = true;
  }

  #draw(): void {
    const lines = this.#lines();
    this.#frame++;
    const before = this.#erase();
    this.#drawnLines = lines.length;
    this.#stream.write(before + lines.map((line) => `${line}\n`).join(''));
  }

  /** What moves the cursor back to where the picture began and clears it. */
  #erase(): string {
    const code = this.#drawnLines > 0 ? `\x1b[${this.#drawnLines}A\x1b[0J` : '';
    this.#drawnLines = 0;
    return code;
  }

  /** No more than fit the window: a line that scrolled away cannot be drawn again. */
  #lines(): string[] {
    const most = Math.max(3, (this.#stream.rows || 24) - 2);
    const units = [...this.#units.values()];
    if (units.length <= most) return units.map((unit) => this.#line(unit));
    const busy = units.filter(({ state }) => !settled.has(state));
    const shown = busy.slice(0, most - 1);
    const states = new Map<string, number>();
    for (const { state } of units) states.set(state, (states.get(state) ?? 0) + 1);
    const summary = [...states].map(([state, number]) => `${number} ${state}`).join(', ');
    return [
      ...shown.map((unit) => this.#line(unit)),
      this.#style.dim(`  ${units.length} in all: ${summary}`),
    ];
  }

  #line(update: ProgressUpdate): string {
    // 0 where the terminal does not know its size.
    const width = (this.#stream.columns || 80) - 1;
    const mark = this.#mark(update.state);
    const names = Math.min(24, Math.max(...[...this.#units.keys()].map((unit) => unit.length)));
    const name = shorten(update.unit, names).padEnd(names);
    const text = shorten(describe(update, bar), Math.max(10, width - names - 3));
    return `${mark} ${this.#style.bold(name)} ${text}`;
  }

  #mark(state: string): string {
    if (state === 'ready') return this.#style.green('✔');
    if (state === 'failed' || state === 'crashed') return this.#style.red('✖');
    if (settled.has(state)) return this.#style.dim('·');
    return this.#style.cyan(spinner[this.#frame % spinner.length] ?? '');
  }
}

const BAR_CELLS = 16;

function bar(fraction: number): string {
  const filled = Math.round(Math.min(1, fraction) * BAR_CELLS);
  return `${'█'.repeat(filled)}${'░'.repeat(BAR_CELLS - filled)} `;
}

/** `loading: reading model 5.0 MiB of 10.3 MiB (49 %)`. */
function describe(update: ProgressUpdate, drawBar: (fraction: number) => string = () => ''): string {
  const { state, stage, done = 0, total = 0, unitOfWork = 'steps', detail } = update;
  const parts: string[] = [];
  if (stage) parts.push(printable(stage));
  const amount = (value: number) => (unitOfWork === 'bytes' ? formatBytes(value) : String(value));
  if (total > 0)
    parts.push(
      `${drawBar(done / total)}${amount(done)} of ${amount(total)} (${Math.floor((done / total) * 100)} %)`,
    );
  else if (done > 0) parts.push(amount(done));
  if (detail) parts.push(printable(detail));
  return parts.length > 0 ? `${state}: ${parts.join(' ')}` : state;
}
