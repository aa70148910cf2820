/**
 * Reaps orphans that were re-parented to us, and remembers how processes ended.
 *
 * libuv reaps only what it spawned, so adopted processes would stay zombies. They are reaped one by one, by pid:
 * `waitpid(-1)` would steal Node's own children, whose `exit` event would then never fire.
 */
import type { ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { identityKey } from './identity.js';
import { becomeSubreaper, reapChild, type WaitStatus } from './libc.js';
import { childrenOfMainThread, hasEnded, readStat } from './proc.js';

/** Ends remembered; far more than one stop reports. */
const REMEMBERED_EXITS = 4096;

/** Node announces every child process that anybody in this thread makes, libraries included, before it is spawned. */
const SPAWN_CHANNEL = 'child_process';

/**
 * Turns of the event loop that a dead child must have been seen in before it is taken for an adopted one, for children
 * that were spawned before we listened: libuv mostly reaps within one turn of the signal.
 */
const TURNS_BEFORE_REAPING = 2;
/** After so many turns a dead child that cannot be reaped (somebody traces it) waits for the next look. */
const TURNS_BEFORE_RESTING = 20;

export class Reaper {
  /** Children that Node is going to reap. */
  readonly #ofNode = new Set<ChildProcess>();
  readonly #onSpawn = (message: unknown): void => {
    const { process: child } = message as { process: ChildProcess };
    this.#ofNode.add(child);
    child.once('exit', () => this.#ofNode.delete(child));
  };
  /** Dead children that nobody has reaped, and in how many turns they were seen. */
  #suspects = new Map<string, number>();
  #pass: NodeJS.Immediate | undefined;
  readonly #exits = new Map<string, WaitStatus>();
  readonly #waiting = new Set<() => void>();
  readonly #onChild = (): void => this.#childEnded();
  #adopts = false;
  #closed = false;

  /** Starts adopting: from now on orphans among our descendants come to us. False where the system cannot do that. */
  adopt(): boolean {
    if (!this.#adopts && becomeSubreaper()) {
      this.#adopts = true;
      subscribe(SPAWN_CHANNEL, this.#onSpawn);
      process.on('SIGCHLD', this.#onChild);
    }
    return this.#adopts;
  }

  /** True where every orphan among our descendants becomes our child. */
  get adopts(): boolean {
    return this.#adopts;
  }

  /** Must be called in the same turn as the spawn, before the child can have been reaped. */
  own(child: ChildProcess, key: string): void {
    const { pid } = child;
    if (pid === undefined) return;
    this.#ofNode.add(child);
    child.once('exit', (code, signal) => {
      this.#ofNode.delete(child);
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

  /** Reaps every adopted child that has ended, within a few turns of the event loop. */
  reap(): void {
    if (this.#adopts && !this.#closed) this.#pass ??= setImmediate(() => this.#reapOnce());
  }

  /** Resolves when what has ended by now is reaped, so that its exit is known. */
  async reaped(): Promise<void> {
    this.reap();
    for (let turn = 0; this.#pass !== undefined && turn <= TURNS_BEFORE_RESTING; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #reapOnce(): void {
    this.#pass = undefined;
    const suspects = new Map<string, number>();
    let again = false;
    try {
      for (const [pid, key] of deadChildren(this.#pidsOfNode())) {
        const turns = this.#suspects.get(key) ?? 0;
        const status = turns >= TURNS_BEFORE_REAPING ? reapChild(pid) : undefined;
        if (status) {
          this.#remember(key, status);
          continue;
        }
        suspects.set(key, turns + 1);
        again ||= turns < TURNS_BEFORE_RESTING;
      }
    } catch {
      // Out of file descriptors: the next end of a child, or the next search, tries again.
      return;
    }
    this.#suspects = suspects;
    if (again) this.reap();
  }

  #pidsOfNode(): Set<number> {
    const pids = new Set<number>();
    for (const child of this.#ofNode) {
      // Spawning is done in the turn of the announcement: one without a pid by now never came to be.
      if (child.pid === undefined) this.#ofNode.delete(child);
      else pids.add(child.pid);
    }
    return pids;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearImmediate(this.#pass);
    this.#pass = undefined;
    unsubscribe(SPAWN_CHANNEL, this.#onSpawn);
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

/** Pid and identity of our children that have ended, leaving out those that Node is going to reap. */
function deadChildren(ofNode: ReadonlySet<number>): [pid: number, key: string][] {
  const session = readStat(process.pid)?.session;
  return childrenOfMainThread().flatMap((pid): [number, string][] => {
    if (ofNode.has(pid)) return [];
    const stat = readStat(pid);
    if (!stat || !hasEnded(stat)) return [];
    // Units have sessions of their own and nothing joins a session later: one of ours was spawned by a library here.
    if (stat.session === session) return [];
    return [[pid, identityKey(stat)]];
  });
}
