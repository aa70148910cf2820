/** Commands that go on until somebody ends them. */

/** Fires on Ctrl-C, SIGTERM, and when nobody reads our output any more. */
export function untilInterrupted(): { signal: AbortSignal; close(): void } {
  const controller = new AbortController();
  const end = () => controller.abort();
  process.once('SIGINT', end);
  process.once('SIGTERM', end);
  process.stdout.once('error', end);
  return {
    signal: controller.signal,
    close: () => {
      process.off('SIGINT', end);
      process.off('SIGTERM', end);
      process.stdout.off('error', end);
    },
  };
}

/** Waits, or returns at once when the signal fires. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done, { once: true });
  });
}
