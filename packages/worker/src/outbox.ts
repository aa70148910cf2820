/** Frames on their way out: what one turn of the loop produces leaves in one system call, and a full pipe is felt. */
import type { Writable } from 'node:stream';

export interface OutboxEvents {
  /** The pipe is full: take in no more until it has drained. */
  onFull(): void;
  onDrained(): void;
  /** Nobody is there to read. */
  onLost(error: Error): void;
}

export class Outbox {
  readonly #stream: Writable;
  readonly #events: OutboxEvents;
  #corked = false;
  #full = false;
  #ended: Promise<void> | undefined;

  constructor(stream: Writable, events: OutboxEvents) {
    this.#stream = stream;
    this.#events = events;
    stream.on('drain', () => {
      if (!this.#full) return;
      this.#full = false;
      events.onDrained();
    });
    stream.on('error', (error) => events.onLost(error));
  }

  write(frame: Uint8Array[]): void {
    if (this.#ended || this.#stream.destroyed) return;
    if (!this.#corked) {
      this.#corked = true;
      this.#stream.cork();
      process.nextTick(this.#uncork);
    }
    let room = true;
    for (const part of frame) room = this.#stream.write(part);
    if (room || this.#full) return;
    this.#full = true;
    this.#events.onFull();
  }

  /** Resolves when everything written has been handed to the kernel. */
  end(): Promise<void> {
    this.#uncork();
    this.#ended ??= new Promise((resolve) => {
      this.#stream.once('close', resolve);
      this.#stream.end(resolve);
    });
    return this.#ended;
  }

  readonly #uncork = (): void => {
    if (!this.#corked) return;
    this.#corked = false;
    this.#stream.uncork();
  };
}
