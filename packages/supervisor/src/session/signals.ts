/** What the signals of a terminal mean to a command that holds an experiment. */

export interface StopSignals {
  /** It is stopping for another reason: a Ctrl-C from now on can only mean that the waiting is to be skipped. */
  stopping(): void;
  close(): void;
}

/**
 * Ctrl-C and SIGTERM stop in order, a second Ctrl-C skips the waiting, and SIGHUP stops too where it means a closed
 * terminal. Close it when nothing is left to stop, so that the next signal ends the process as usual.
 */
export function stopOnSignals(stop: (reason: string, force: boolean) => void): StopSignals {
  let stopping = false;
  const handlers: Partial<Record<NodeJS.Signals, () => void>> = {
    SIGINT: () => {
      stop('Ctrl-C', stopping);
      stopping = true;
    },
    SIGTERM: () => stop('SIGTERM', false),
    SIGHUP: () => {
      if (isService()) process.stderr.write('SIGHUP ignored: this version has nothing to reload\n');
      else stop('SIGHUP: the terminal was closed', false);
    },
  };
  for (const [signal, handler] of Object.entries(handlers)) process.on(signal, handler);
  return {
    stopping: () => (stopping = true),
    close: () => {
      for (const [signal, handler] of Object.entries(handlers)) process.off(signal, handler);
    },
  };
}

/** Under systemd, where no terminal can close. A shell in a session that systemd started has INVOCATION_ID too. */
function isService(): boolean {
  const { INVOCATION_ID: invocation, NOTIFY_SOCKET: notify } = process.env;
  const onTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  return Boolean(notify ?? invocation) && !onTerminal;
}
