/** Which replica takes the next request. Pure: loads in, a choice out. */

export type Routing = 'round_robin' | 'least_loaded';

/** What a replica has in hand and how much it takes. */
export interface Load {
  requests: number;
  bytes: number;
  capacity: { requests: number; bytes: number };
}

/**
 * Index of the replica for a request of `bytes`, or -1 when none has room. `turn`: index after the one chosen
 * last; round robin starts there and passes over those that are full, least loaded breaks ties there.
 */
export function chooseReplica(loads: readonly Load[], routing: Routing, turn: number, bytes: number): number {
  let best = -1;
  for (let step = 0; step < loads.length; step += 1) {
    const index = (turn + step) % loads.length;
    const load = loads[index]!;
    if (!hasRoom(load, bytes)) continue;
    if (routing === 'round_robin') return index;
    if (best === -1 || isLighter(load, loads[best]!)) best = index;
  }
  return best;
}

/** A request larger than all that a replica takes at a time still goes, alone. */
function hasRoom({ requests, bytes: held, capacity }: Load, bytes: number): boolean {
  if (requests === 0) return capacity.requests > 0;
  return requests < capacity.requests && held + bytes <= capacity.bytes;
}

function isLighter(a: Load, b: Load): boolean {
  return a.requests !== b.requests ? a.requests < b.requests : a.bytes < b.bytes;
}
