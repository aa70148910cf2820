/** The detached guardian: reports to the command that started it until the experiment is ready, then goes on alone. */
import type { DaemonMessage, DaemonStart, GuardianMessage } from '../daemon/messages.js';
import { ParentChannel } from '../daemon/parent-channel.js';
import { discardDaemonProcess, prepareDaemonProcess } from './daemon-process.js';
import { startGuardian } from './guardian.js';

// Boots while our own start message is on its way.
prepareDaemonProcess('ignore');
const start = await new Promise<DaemonStart | null>((resolve) => {
  process.once('message', (message: GuardianMessage) =>
    resolve(message.type === 'start' ? message.start : null),
  );
  process.once('disconnect', () => resolve(null));
  // It may have gone while this module was being loaded, before anybody listened.
  if (!process.connected) resolve(null);
});
if (start) {
  // Without the product's name: whoever kills everything by that name leaves this one to clean up.
  process.title = `keeper ${start.experiment.name}`;
  await guard(start);
} else {
  process.exitCode = 1;
  await discardDaemonProcess();
  if (process.connected) process.disconnect();
}

async function guard(what: DaemonStart): Promise<void> {
  const channel = new ParentChannel();
  let ready = false;
  const report = (message: DaemonMessage) => {
    if (message.type === 'ready') ready = true;
    channel.send(message);
  };
  const guardian = startGuardian({ start: what, onMessage: report, stderr: 'ignore' });
  process.on('message', (message: GuardianMessage) => {
    if (message.type === 'stop') guardian.stop(message.reason, message.force);
  });
  // Whoever started it was killed before it was ready: nobody was told that it runs, so it does not.
  process.on('disconnect', () => {
    if (!ready) guardian.stop('the command that started it went away', false);
  });
  process.on('SIGTERM', () => guardian.stop('SIGTERM', false));
  let interrupted = false;
  process.on('SIGINT', () => {
    guardian.stop('SIGINT', interrupted);
    interrupted = true;
  });
  // Detached, so no terminal that closes is ours.
  process.on('SIGHUP', () => undefined);
  const { exitCode } = await guardian.done;
  process.exitCode = exitCode;
  await channel.close();
  for (const event of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.removeAllListeners(event);
}
