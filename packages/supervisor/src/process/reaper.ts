/**
 * Reaps orphans that were re-parented to us, and remembers how processes ended.
 *
 * libuv reaps only what it spawned, so adopted processes would stay zombies. They are reaped one by one, by pid:
 * `waitpid(-1)` would steal Node's own children, whose `exit` event would then never fire.
 */
import type { ChildProcess } from 'node:child_process';
import { identityKey } from './identity.js';
import { becomeSubreaper, onLinux, reapChild, type WaitStatus } from './libc.js';
import { childrenOfMainThread, hasEnded, readStat } from './proc.js';

/** Ends remembered; far more than one stop reports. */
const REMEMBERED_EXITS = 4096;

export class Reaper {
  /** Pids that Node spawned and has not reaped yet. */
  readonly #ofNode = new Set<number>();
  readonly #exits = new Map<string, WaitStatus>();
  readonly #waiting = new Set<() => void>();
  readonly #onChild = (): void => this.#childEnded();
  #adopts = false;
  #closed = false;

  /** Starts adopting: from now on orphans among our descendants come to us. False where the system cannot do that. */
  adopt(): boolean {
    if (!this.#adopts && becomeSubreaper()) {
      this.#adopts = true;
      process.on('SIGCHLD', this.#onChild);
    }
    return this.#adopts;
  }

  /** Must be called in the same turn as the spawn, before the child can have been reaped. */
  own(child: ChildProcess, key: string): void {
    const { pid } = child;
    if (pid === undefined) return;
    this.#ofNode.add(pid);
    child.once('exit', (code, signal) => {
      this.#ofNode.delete(pid);
      this.#remember(key, { code, signal });
      this.#childEnded();
    });
  }

  exitOf(key: string): WaitStatus | undefined {
    return this.#exits.get(key);
  }

  /** Resolves at the next end of a child, or when the signal fires. */
  childEnded(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  /** Reaps every adopted child that has ended. */
  reap(): void {
    if (!onLinux || !this.#adopts) return;
    for (const pid of childrenOfMainThread()) {
      if (this.#ofNode.has(pid)) continue;
      const stat = readStat(pid);
      if (!stat || !hasEnded(stat)) continue;
      const status = reapChild(pid);
      if (status) this.#remember(identityKey(stat), status);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.reap();
    process.off('SIGCHLD', this.#onChild);
  }

  #childEnded(): void {
    this.reap();
    for (const wake of [...this.#waiting]) wake();
  }

  #remember(key: string, status: WaitStatus): void {
    this.#exits.set(key, status);
    if (this.#exits.size > REMEMBERED_EXITS) {
      for (const oldest of this.#exits.keys()) {
        this.#exits.delete(oldest);
        break;
      }
    }
  }
}
