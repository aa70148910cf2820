/**
 * Messages to the process that started us. Node drops what is still queued when the channel is closed, so closing
 * waits for it, but not for ever: a parent that hangs must not keep us.
 */
import type { DaemonMessage } from './messages.js';
import { within } from '../units/deadline.js';

const DELIVERY_LIMIT_MS = 1000;

export class ParentChannel {
  readonly #pending = new Set<Promise<void>>();

  /** A parent that is gone is reported by `disconnect`; there is nobody to tell. */
  send(message: DaemonMessage): void {
    if (!process.connected) return;
    const delivered = new Promise<void>((resolve) => {
      process.send?.(message, undefined, undefined, () => resolve());
    });
    this.#pending.add(delivered);
    void delivered.then(() => this.#pending.delete(delivered));
  }

  /** After this nothing of the channel keeps the process alive. */
  async close(): Promise<void> {
    await within(DELIVERY_LIMIT_MS, Promise.all(this.#pending));
    if (process.connected) process.disconnect();
  }
}
