/** One command of the CLI as a real process: its output as it comes, its end, and waiting for either. */
import type { ChildProcess } from 'node:child_process';
import { DEADLINE_MS } from './until.js';

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  /** Both, in the order of arrival. */
  text: string;
}

export class Run {
  readonly title: string;
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  text = '';
  /** The exit and the end of its output: a descendant that keeps the output open would keep this pending. */
  readonly #ended: Promise<Ended>;
  #end: Ended | null = null;
  readonly #watchers = new Set<() => void>();

  constructor(title: string, child: ChildProcess) {
    this.title = title;
    this.child = child;
    this.#follow('stdout');
    this.#follow('stderr');
    this.#ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        const { stdout, stderr, text } = this;
        this.#end = { code, signal, stdout, stderr, text };
        resolve(this.#end);
        this.#wake();
      });
    });
    this.#ended.catch(() => {});
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error(`${this.title} did not start`);
    return this.child.pid;
  }

  get hasEnded(): boolean {
    return this.#end !== null;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Resolves when the output matches; rejects when the command ends without, or at the deadline. */
  waitFor(pattern: RegExp, stream: 'stdout' | 'stderr' | 'text' = 'text'): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        settle();
      };
      const look = () => {
        const match = pattern.exec(this[stream]);
        if (match) finish(() => resolve(match));
        else if (this.#end) finish(() => reject(this.#failure(`ended without ${pattern} in its ${stream}`)));
      };
      const timer = setTimeout(
        () =>
          finish(() =>
            reject(this.#failure(`no ${pattern} in its ${stream} within ${DEADLINE_MS / 1000} s`)),
          ),
        DEADLINE_MS,
      );
      this.#watchers.add(look);
      look();
    });
  }

  /** Resolves with how it ended. */
  async end(): Promise<Ended> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(this.#failure(`still running after ${DEADLINE_MS / 1000} s`)),
        DEADLINE_MS,
      );
    });
    try {
      return await Promise.race([this.#ended, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  describe(): string {
    const end = this.#end ? `ended with ${this.#end.signal ?? `code ${this.#end.code}`}` : 'running';
    return `--- ${this.title} (pid ${this.child.pid}, ${end})\n${tail(this.text)}`;
  }

  #follow(name: 'stdout' | 'stderr'): void {
    const stream = this.child[name];
    stream?.setEncoding('utf8');
    stream?.on('data', (chunk: string) => {
      this[name] += chunk;
      this.text += chunk;
      this.#wake();
    });
  }

  #wake(): void {
    for (const look of [...this.#watchers]) look();
  }

  #failure(what: string): Error {
    return new Error(`${this.title}: ${what}`);
  }
}

const MOST_SHOWN_CHARACTERS = 8000;

export function tail(text: string): string {
  return text.length > MOST_SHOWN_CHARACTERS ? `...${text.slice(-MOST_SHOWN_CHARACTERS)}` : text;
}
