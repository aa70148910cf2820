/**
 * Starting an experiment takes several processes that each need a while to boot. The first of them is started as soon
 * as the command is known to be one that starts something, before its options and its file have been read.
 */
import { discardDaemonProcess, prepareDaemonProcess } from '../guardian/daemon-process.js';
import { discardGuardianProcess, prepareGuardianProcess } from '../guardian/launch.js';

/** @param argv without the program and the script */
export function prestart(argv: string[]): void {
  const [command] = argv;
  if (argv.some((word) => word === '--help' || word === '-h')) return;
  if (command === 'run') prepareDaemonProcess('inherit');
  if (command !== 'start') return;
  if (argv.includes('--detach') || argv.includes('-d')) prepareGuardianProcess();
  else prepareDaemonProcess('inherit');
}

/** Ends what was started and not used, because the command came to nothing. */
export async function discardPrestart(): Promise<void> {
  await Promise.all([discardDaemonProcess(), discardGuardianProcess()]);
}
