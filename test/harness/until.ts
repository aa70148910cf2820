/** The one wait that looks again and again: for what the kernel shows and announces to nobody. */

/** Generous: it is reached only when something is broken, on the slowest machine. */
export const DEADLINE_MS = 60_000;
const LOOK_EVERY_MS = 15;

/** Resolves with the first truthy answer of `look`; rejects after the deadline with `what` and what `detail` shows. */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  { deadlineMs = DEADLINE_MS, detail }: { deadlineMs?: number; detail?: () => string } = {},
): Promise<NonNullable<T>> {
  const started = performance.now();
  for (;;) {
    const answer = await look();
    if (answer) return answer;
    if (performance.now() - started > deadlineMs) {
      throw new Error(`not within ${deadlineMs / 1000} s: ${what}${detail ? `\n${detail()}` : ''}`);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
