/** A test on the built CLI with real processes: a sandbox around it, and nothing left at its end. */
import { test, type TestContext } from 'node:test';
import { Sandbox } from './sandbox.js';

/** Longer than any chain of waits in one test: each of them fails earlier and says more. */
const SCENARIO_LIMIT_MS = 5 * 60_000;

export function scenario(
  name: string,
  body: (box: Sandbox, t: TestContext) => Promise<void>,
  { skip = false }: { skip?: string | false } = {},
): void {
  test(name, { skip, timeout: SCENARIO_LIMIT_MS }, async (t) => {
    const box = new Sandbox();
    // The runner's own limit abandons the body: the processes must go all the same.
    t.signal.addEventListener('abort', () => void box.census.killAll().catch(() => {}), { once: true });
    try {
      await body(box, t);
      await box.assertNothingLeft();
    } catch (error) {
      if (error instanceof Error) error.message += `\n${box.explain()}`;
      throw error;
    } finally {
      await box.close();
    }
  });
}
