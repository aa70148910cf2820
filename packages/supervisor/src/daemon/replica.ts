/** A worker's channel as the request plane sees it: a replica with a bounded number of requests in flight. */
import type { Replica } from '@supervisor/server';
import type { ProtocolLimits } from '@supervisor/worker/protocol';
import type { WorkerChannel } from '../worker/channel.js';

export function asReplica(
  id: string,
  channel: WorkerChannel,
  limits: ProtocolLimits,
  onAnswered: () => void,
): Replica {
  return {
    id,
    capacity: { requests: limits.maxInFlight, bytes: limits.maxInFlightBytes },
    get inFlight() {
      return channel.inFlight;
    },
    get inFlightBytes() {
      return channel.inFlightBytes;
    },
    infer: async (inputs, options) => {
      const answer = await channel.infer(inputs, options);
      onAnswered();
      return answer;
    },
  };
}
