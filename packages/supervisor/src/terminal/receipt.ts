/** The signed-off stop, for people: what was ended, how, and whether anything is left. */
import type { ProcessOutcome, Receipt } from '../process/receipt.js';
import { printable, shorten } from './printable.js';
import { count, formatDuration } from './quantity.js';
import { formatTable } from './table.js';

const COMMAND_CHARACTERS = 60;

/** Who did it, where that is not what one expects. */
const doneBy: Record<Receipt['by'], string> = {
  daemon: '',
  guardian: '; by the guardian',
  stop: '; by the stop command',
  reconcile: '',
};

/** Lines, each ended by a newline. */
export function formatReceipt(receipt: Receipt): string {
  const { experiment, reason, by, processes, survivors, durationMs, ports, filesRemoved } = receipt;
  const ended = processes.length - survivors.length;
  const verdict =
    survivors.length === 0
      ? 'nothing is left'
      : `${count(survivors.length, 'process', 'processes')} SURVIVED`;
  const verb = by === 'reconcile' ? 'cleaned up' : 'stopped';
  let text = `${verb} ${experiment} in ${formatDuration(durationMs)} (${reason}${doneBy[by]}): `;
  text += `${count(ended, 'process', 'processes')} ended, ${verdict}\n`;
  if (processes.length > 0) {
    const table = formatTable(
      [
        { title: 'PID', align: 'right' },
        { title: 'UNIT' },
        { title: 'SENT' },
        { title: 'ENDED' },
        { title: 'AFTER', align: 'right' },
        { title: 'COMMAND' },
      ],
      processes.map(row),
    );
    text += table.replace(/^(?=.)/gm, '  ');
  }
  const held = ports.filter(({ free }) => !free).map(({ port }) => port);
  if (ports.length > 0) {
    text +=
      held.length === 0
        ? `  ports free again: ${ports.map(({ port }) => port).join(', ')}\n`
        : `  ports STILL IN USE: ${held.join(', ')}\n`;
  }
  if (by !== 'daemon' && filesRemoved.length > 0) text += `  files removed: ${filesRemoved.join(', ')}\n`;
  return text;
}

function row(process: ProcessOutcome): string[] {
  return [
    String(process.pid),
    process.unit ?? '-',
    process.signals.join(', ') || '-',
    ending(process),
    formatDuration(process.durationMs),
    shorten(printable(process.command), COMMAND_CHARACTERS),
  ];
}

function ending({ outcome, exit }: ProcessOutcome): string {
  if (outcome === 'unkillable') return 'STILL THERE';
  if (!exit) return 'gone';
  return exit.signal ?? `exit ${exit.code ?? '?'}`;
}
