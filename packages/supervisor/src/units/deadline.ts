/** Waiting that is bounded in time or ended by a signal, and that leaves no timer behind. */

export function deadline(ms: number): { expired: Promise<void>; cancel(): void } {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
  return { expired, cancel: () => clearTimeout(timer) };
}

export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** The promise's value, or undefined when it takes longer than `ms`. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  const timeout = deadline(ms);
  const value = await Promise.race([promise, timeout.expired.then(() => undefined)]);
  timeout.cancel();
  return value;
}

/** Resolves after `ms`, or as soon as the signal fires. */
export async function elapsed(ms: number, signal: AbortSignal): Promise<void> {
  const timeout = deadline(ms);
  await Promise.race([timeout.expired, aborted(signal)]);
  timeout.cancel();
}
