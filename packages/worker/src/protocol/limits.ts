/** What one worker accepts at a time. The host sets it in its hello and both sides hold each other to it. */
export interface ProtocolLimits {
  /** Whole frame: header, meta, payload and padding. */
  maxFrameBytes: number;
  /** Requests sent and not answered. */
  maxInFlight: number;
  /** Tensor bytes of those requests. A single request may always go alone, whatever its size. */
  maxInFlightBytes: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_LIMITS: Readonly<ProtocolLimits> = Object.freeze({
  maxFrameBytes: 256 * MIB,
  maxInFlight: 2,
  maxInFlightBytes: 512 * MIB,
});

/** The JSON of a control frame. It holds no tensors, so more than this is a broken length rather than a message. */
export const MAX_CONTROL_BYTES = MIB;

/** Far beyond what models use; it bounds what a corrupt count can make the decoder do. */
export const MAX_RANK = 64;
