/** A message that is still in pieces: what was written, and the tensors' own bytes between. Copied once, into the frame. */
export class GatheredMessage {
  readonly byteLength: number;
  readonly #written: Buffer;
  readonly #insertions: readonly Insertion[];

  constructor(written: Buffer, insertions: readonly Insertion[]) {
    this.#written = written;
    this.#insertions = insertions;
    this.byteLength = insertions.reduce((sum, { data }) => sum + data.byteLength, written.byteLength);
  }

  /** Like `Buffer.copy`: writes the whole message into `target` from `start` on; returns the bytes written. */
  copy(target: Uint8Array, start = 0): number {
    let offset = start;
    let from = 0;
    for (const { at, data } of this.#insertions) {
      target.set(this.#written.subarray(from, at), offset);
      offset += at - from;
      from = at;
      target.set(data, offset);
      offset += data.byteLength;
    }
    target.set(this.#written.subarray(from), offset);
    return this.byteLength;
  }
}

export interface Insertion {
  /** Offset in what was written. */
  at: number;
  data: Uint8Array;
}
