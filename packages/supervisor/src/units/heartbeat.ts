/**
 * Pings a worker and says when it has stopped answering.
 *
 * A pong must come within three intervals. A late timer of our own (a stopped daemon, a suspended machine) is not
 * held against the worker: the silence is counted in ticks that really happened.
 */

export interface HeartbeatOptions {
  intervalMs: number;
  ping: () => Promise<unknown>;
  onSilent: (silentMs: number) => void;
}

/** Intervals without an answer after which a worker counts as hung. */
export const MISSED_HEARTBEATS = 3;

export function startHeartbeat({ intervalMs, ping, onSilent }: HeartbeatOptions): { close(): void } {
  let missed = 0;
  let waiting = false;
  const timer = setInterval(() => {
    if (waiting && ++missed >= MISSED_HEARTBEATS) {
      clearInterval(timer);
      onSilent(missed * intervalMs);
    }
    if (waiting) return;
    waiting = true;
    missed = 0;
    // A rejected ping means that the channel closed; whoever closed it also ends this heartbeat.
    ping().then(
      () => (waiting = false),
      () => undefined,
    );
  }, intervalMs);
  return { close: () => clearInterval(timer) };
}
