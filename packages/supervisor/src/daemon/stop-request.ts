/** The wish to stop: the first reason is the reason; a second wish of the user's skips all waiting. */
export class StopRequest {
  readonly #requested = new AbortController();
  readonly #force = new AbortController();
  #reason = '';

  /** Fires with the first request. */
  get requested(): AbortSignal {
    return this.#requested.signal;
  }

  /** Fires when nothing may be waited for any more. */
  get force(): AbortSignal {
    return this.#force.signal;
  }

  get reason(): string {
    return this.#reason;
  }

  request(reason: string, force = false): void {
    if (!this.#requested.signal.aborted) {
      this.#reason = reason;
      this.#requested.abort();
    }
    if (force) this.#force.abort();
  }
}
