/** A real worker process in a test: speak to it, wait for what it says, and nothing of it is left afterwards. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import {
  DEFAULT_LIMITS,
  encodeHostMessage,
  FrameDecoder,
  type HostMessage,
  type ProtocolLimits,
  type WorkerMessage,
} from '../protocol/index.js';

export const BUILT_IN_WORKER = fileURLToPath(new URL('../main.js', import.meta.url));

type Of<T extends WorkerMessage['type']> = Extract<WorkerMessage, { type: T }>;

export class WorkerProcess {
  readonly child: ChildProcess;
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Everything it said that nobody has taken yet. */
  readonly inbox: WorkerMessage[] = [];
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null; stderr: string }>;
  readonly #listeners = new Set<() => void>();
  #stderr = '';
  #gone = false;

  /** @param command program and arguments; most often node and a script. */
  constructor(command: [string, ...string[]] = [process.execPath, BUILT_IN_WORKER]) {
    const [program, ...args] = command;
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.child = child;
    this.stdin = child.stdin;
    this.stdout = child.stdout;
    // A worker that ends before it has read everything is what some tests are about.
    child.stdin.on('error', () => {});
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#wake();
    });
    const decoder = new FrameDecoder<WorkerMessage>('host', DEFAULT_LIMITS);
    child.stdout.on('data', (chunk: Buffer) => {
      this.inbox.push(...decoder.push(chunk));
      this.#wake();
    });
    this.exited = once(child, 'close').then(([code, signal]) => {
      this.#gone = true;
      this.#wake();
      return { code: code as number | null, signal: signal as NodeJS.Signals | null, stderr: this.#stderr };
    });
  }

  get stderr(): string {
    return this.#stderr;
  }

  send(message: HostMessage): void {
    for (const part of encodeHostMessage(message)) this.stdin.write(part);
  }

  hello(config: Record<string, unknown>, limits: Partial<ProtocolLimits> = {}): void {
    this.send({
      type: 'hello',
      protocol: { min: 1, max: 1 },
      worker: 'test/0',
      limits: { ...DEFAULT_LIMITS, ...limits },
      config,
    });
  }

  /** Says hello and waits until the worker is ready. */
  async start(config: Record<string, unknown>, limits?: Partial<ProtocolLimits>): Promise<Of<'ready'>> {
    this.hello(config, limits);
    return this.next('ready');
  }

  /** Takes the next message of this type (and id), also when it came already. Rejects when the worker ends first. */
  next<T extends WorkerMessage['type']>(type: T, id?: number): Promise<Of<T>> {
    return this.take(
      (message): message is Of<T> =>
        message.type === type && (id === undefined || ('id' in message && message.id === id)),
      `${type}${id === undefined ? '' : ` ${id}`}`,
    );
  }

  /** Takes the answer to a request, whichever it is. */
  answer(id: number): Promise<Of<'result' | 'error'>> {
    return this.take(
      (message): message is Of<'result' | 'error'> =>
        (message.type === 'result' || message.type === 'error') && message.id === id,
      `an answer to ${id}`,
    );
  }

  async ping(id: number): Promise<Of<'pong'>> {
    this.send({ type: 'ping', id });
    return this.next('pong', id);
  }

  /** Pings until the backend is inside of a request. */
  async untilBusy(): Promise<void> {
    for (let id = 1_000_000; ; id++) {
      if ((await this.ping(id)).busy) return;
    }
  }

  async untilStderr(pattern: RegExp): Promise<void> {
    await this.#until(() => pattern.test(this.#stderr), String(pattern));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.exited;
  }

  async take<M extends WorkerMessage>(
    wanted: (message: WorkerMessage) => message is M,
    what: string,
  ): Promise<M> {
    let index = -1;
    await this.#until(() => (index = this.inbox.findIndex(wanted)) >= 0, what);
    return this.inbox.splice(index, 1)[0] as M;
  }

  #until(condition: () => boolean, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (!condition() && !this.#gone) return;
        this.#listeners.delete(look);
        if (condition()) return resolve();
        const said = JSON.stringify(this.inbox.map((message) => message.type));
        reject(new Error(`the worker ended before ${what}; it said ${said}, and on stderr: ${this.#stderr}`));
      };
      this.#listeners.add(look);
      look();
    });
  }

  #wake(): void {
    for (const look of [...this.#listeners]) look();
  }
}

/** Path of a fixture beside this file. */
export function fixture(name: string): [string, ...string[]] {
  return [process.execPath, fileURLToPath(new URL(`./fixtures/${name}.js`, import.meta.url))];
}
