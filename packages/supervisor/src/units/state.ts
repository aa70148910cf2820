/** Where a supervised unit stands, as a union; each transition goes through one function and is logged. */

export type UnitState =
  | { kind: 'waiting' }
  | { kind: 'spawning' }
  | { kind: 'loading'; pid: number; sinceMs: number }
  | { kind: 'ready'; pid: number; sinceMs: number }
  /** The leader ended by itself and called it a success; what is left of its tree is being stopped. */
  | { kind: 'ended'; exitCode: number | null }
  /** The run failed; what is left of its tree is being stopped. */
  | { kind: 'crashed'; reason: string }
  | { kind: 'backing-off'; reason: string; untilMs: number; attempt: number }
  | { kind: 'stopping'; pid: number | null }
  /** Ended for good: by itself, or because it was stopped. */
  | { kind: 'gone'; exit: { code: number | null; signal: string | null } | null }
  /** Ended for good with a failure. */
  | { kind: 'failed'; reason: string };

type Kind = UnitState['kind'];

const allowed: Record<Kind, readonly Kind[]> = {
  waiting: ['spawning', 'stopping'],
  spawning: ['loading', 'crashed', 'stopping'],
  loading: ['ready', 'ended', 'crashed', 'stopping'],
  ready: ['ended', 'crashed', 'stopping'],
  ended: ['backing-off', 'failed', 'gone', 'stopping'],
  crashed: ['backing-off', 'failed', 'stopping'],
  'backing-off': ['spawning', 'stopping'],
  stopping: ['gone', 'failed', 'spawning'],
  gone: [],
  failed: [],
};

/** Thrown on a programming error: a transition that the life of a unit does not have. */
export class IllegalTransition extends Error {
  override name = 'IllegalTransition';
}

/** Returns `to`, or throws naming both states. */
export function transition(unit: string, from: UnitState, to: UnitState): UnitState {
  if (!allowed[from.kind].includes(to.kind)) {
    throw new IllegalTransition(`unit ${unit} cannot go from ${from.kind} to ${to.kind}`);
  }
  return to;
}

export function hasEnded(state: UnitState): boolean {
  return state.kind === 'gone' || state.kind === 'failed';
}
