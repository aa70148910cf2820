/** The daemon's end of the channel to its guardian. The channel's end means that the guardian is gone. */
import type { DaemonMessage, DaemonStart, GuardianMessage } from './messages.js';
import { ParentChannel } from './parent-channel.js';

export interface GuardianLink {
  send(message: DaemonMessage): void;
  onStop(handler: (reason: string, force: boolean) => void): void;
  onShowLog(handler: () => void): void;
  /** Delivers what was sent; after this nothing of the channel keeps the process alive. */
  close(): Promise<void>;
}

/** Nobody at the other end. */
export class NotAChildError extends Error {
  override name = 'NotAChildError';
}

/** Waits for the guardian's first message, which says what to run. Rejects when the guardian goes away before it. */
export function receiveStart(): Promise<DaemonStart> {
  return new Promise((resolve, reject) => {
    if (!process.send) {
      return reject(new NotAChildError('the daemon is started by `supervisor start`, not by hand'));
    }
    const onMessage = (message: GuardianMessage) => {
      if (message.type !== 'start') return;
      process.off('message', onMessage);
      process.off('disconnect', onGone);
      resolve(message.start);
    };
    const onGone = () => reject(new Error('the guardian went away before it said what to run'));
    process.on('message', onMessage);
    process.once('disconnect', onGone);
    // It may have gone while our modules were being loaded, before anybody listened.
    if (!process.connected) onGone();
  });
}

export function linkToGuardian(): GuardianLink {
  const channel = new ParentChannel();
  let showLog = () => {};
  const handlers: ((reason: string, force: boolean) => void)[] = [];
  const stop = (reason: string, force: boolean) => {
    for (const handler of handlers) handler(reason, force);
  };
  const onMessage = (message: GuardianMessage) => {
    if (message.type === 'stop') stop(message.reason, message.force);
    if (message.type === 'show-log') showLog();
  };
  const onGone = () => stop('the guardian died', false);
  process.on('message', onMessage);
  process.once('disconnect', onGone);
  return {
    send: (message) => channel.send(message),
    onStop: (handler) => {
      handlers.push(handler);
      if (!process.connected) onGone();
    },
    onShowLog: (handler) => (showLog = handler),
    close: async () => {
      process.off('message', onMessage);
      process.off('disconnect', onGone);
      await channel.close();
    },
  };
}
