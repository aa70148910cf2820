/**
 * How many processes may be starting at once. A spawn blocks our event loop for as long as the kernel needs to copy
 * and exec, and a hundred starting interpreters leave no core for serving: the rest waits its turn.
 */
export class SpawnGate {
  readonly #width: number;
  #inside = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(width: number) {
    this.#width = width;
  }

  /** Waits for a place, or until the signal fires (the caller checks). Call the returned function to leave; idempotent. */
  async enter(signal: AbortSignal): Promise<() => void> {
    if (signal.aborted) return () => undefined;
    if (this.#inside >= this.#width && !(await this.#turn(signal))) return () => undefined;
    this.#inside++;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#inside--;
      this.#waiting.shift()?.();
    };
  }

  /** True when a place became free, false when the signal fired first. */
  #turn(signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const admit = () => {
        signal.removeEventListener('abort', giveUp);
        resolve(true);
      };
      const giveUp = () => {
        this.#waiting.splice(this.#waiting.indexOf(admit), 1);
        resolve(false);
      };
      this.#waiting.push(admit);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }
}
