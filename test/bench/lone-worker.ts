/** One built-in worker without a supervisor: the reference for starting, stopping and the path of the frames. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import {
  DEFAULT_LIMITS,
  encodeHostMessage,
  FrameDecoder,
  PROTOCOL_VERSION,
  type HostMessage,
  type ModelMetadata,
  type Tensor,
  type WorkerMessage,
} from '@supervisor/worker/protocol';

/** What a built-in worker is told of a model without a file. */
export const identityConfig = {
  backend: 'identity',
  device: 'cpu',
  max_batch_size: 8,
  inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [4] }],
};

export class LoneWorker {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #decoder = new FrameDecoder<WorkerMessage>('host', DEFAULT_LIMITS);
  readonly #pending = new Map<number, { resolve(outputs: Tensor[]): void; reject(error: Error): void }>();
  readonly #exited: Promise<unknown>;
  #lastId = 0;
  readonly ready: Promise<ModelMetadata>;

  /** @param env the same as that of whatever it is compared with: NODE_EXTRA_CA_CERTS alone doubles a start. */
  constructor(config: Record<string, unknown>, env: NodeJS.ProcessEnv) {
    const main = fileURLToPath(import.meta.resolve('@supervisor/worker/main'));
    this.#child = spawn(process.execPath, [main], { stdio: ['pipe', 'pipe', 'inherit'], env });
    this.#exited = once(this.#child, 'exit');
    this.#child.stdin.on('error', () => {});
    this.ready = new Promise((resolve, reject) => {
      this.#child.stdout.on('data', (chunk: Buffer) => {
        for (const message of this.#decoder.push(chunk)) {
          if (message.type === 'ready') resolve(message.model);
          else this.#settle(message);
        }
      });
      this.#child.once('exit', (code) => reject(new Error(`the lone worker ended with code ${code}`)));
    });
    const protocol = { min: PROTOCOL_VERSION, max: PROTOCOL_VERSION };
    this.#send({ type: 'hello', protocol, worker: 'lone/0', limits: DEFAULT_LIMITS, config });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  infer(inputs: Tensor[]): Promise<Tensor[]> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#send({ type: 'infer', id, deadlineMs: 0, inputs });
    });
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async close(): Promise<void> {
    this.#child.stdin.end();
    await this.#exited;
  }

  /** Resolves when the process has ended. */
  async ended(): Promise<void> {
    await this.#exited;
  }

  #send(message: HostMessage): void {
    this.#child.stdin.cork();
    for (const buffer of encodeHostMessage(message)) this.#child.stdin.write(buffer);
    this.#child.stdin.uncork();
  }

  #settle(message: WorkerMessage): void {
    if (message.type !== 'result' && message.type !== 'error') return;
    const waiting = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if (message.type === 'result') waiting?.resolve(message.outputs);
    else if (waiting) waiting.reject(new Error(message.message));
    else throw new Error(`the lone worker failed: ${message.message}`);
  }
}
