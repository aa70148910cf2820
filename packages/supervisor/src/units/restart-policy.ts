/**
 * Whether a unit that ended is started again, and after how long.
 *
 * Pure: the caller passes the time in. The back-off doubles with each restart that lies within the window; a unit
 * that needs more than `maxRestarts` of them within the window is given up (the breaker), so that a broken model
 * does not spin through the night.
 */

export interface RestartSettings {
  policy: 'on-failure' | 'always' | 'never';
  maxRestarts: number;
  windowMs: number;
  backoffMs: number;
  maxBackoffMs: number;
}

export interface EndedRun {
  /** False only for an end that the unit chose itself and called a success. */
  failed: boolean;
  /** True where starting again cannot help, e.g. a model file that does not exist. */
  permanent: boolean;
}

export type RestartDecision =
  { kind: 'restart'; delayMs: number; attempt: number } | { kind: 'end' } | { kind: 'give-up'; why: string };

export class RestartPolicy {
  readonly #settings: RestartSettings;
  #restartTimes: number[] = [];

  constructor(settings: RestartSettings) {
    this.#settings = settings;
  }

  decide(ended: EndedRun, nowMs: number): RestartDecision {
    const { policy, maxRestarts, windowMs, backoffMs, maxBackoffMs } = this.#settings;
    if (ended.permanent) return { kind: 'give-up', why: 'a restart cannot help' };
    if (!ended.failed && policy !== 'always') return { kind: 'end' };
    if (policy === 'never') return { kind: 'give-up', why: 'supervision.restart.policy is never' };

    this.#restartTimes = this.#restartTimes.filter((at) => nowMs - at < windowMs);
    const recent = this.#restartTimes.length;
    if (recent >= maxRestarts) {
      return { kind: 'give-up', why: `${recent} restarts within ${windowMs / 1000} s did not help` };
    }
    const delayMs = Math.min(maxBackoffMs, backoffMs * 2 ** recent);
    // The restart happens after the delay: counted from there, a long back-off cannot outlive the window it fills.
    this.#restartTimes.push(nowMs + delayMs);
    return { kind: 'restart', delayMs, attempt: recent + 1 };
  }
}
