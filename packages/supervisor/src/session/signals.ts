/** What the signals of a terminal mean to a command that holds an experiment. */

export interface StopSignals {
  /** It is stopping for another reason: a Ctrl-C from now on can only mean that the waiting is to be skipped. */
  stopping(): void;
  close(): void;
}

/**
 * Ctrl-C and SIGTERM stop in order, a second Ctrl-C skips the waiting, and SIGHUP (a closed terminal) stops too. Close
 * it when nothing is left to stop, so that the next signal ends the process as usual.
 */
export function stopOnSignals(stop: (reason: string, force: boolean) => void): StopSignals {
  let stopping = false;
  const onInterrupt = () => {
    stop('Ctrl-C', stopping);
    stopping = true;
  };
  const onTerminate = () => stop('SIGTERM', false);
  const onHangup = () => stop('SIGHUP: the terminal was closed', false);
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onTerminate);
  process.on('SIGHUP', onHangup);
  return {
    stopping: () => (stopping = true),
    close: () => {
      process.off('SIGINT', onInterrupt);
      process.off('SIGTERM', onTerminate);
      process.off('SIGHUP', onHangup);
    },
  };
}
