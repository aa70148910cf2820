import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { FollowedFile, lastLines } from '../../logs/read.js';
import { parseLine, type LogLine } from '../../logs/line.js';
import type { StateDir } from '../../state/directory.js';
import { readPidFile } from '../../state/pid-file.js';
import { coloursWanted, styleFor, type Style } from '../../terminal/style.js';
import { CommandError, EXIT, UsageError } from '../command-error.js';
import { knownExperiments, namedExperiment, onlyRunning, stateRoot } from './experiments.js';
import { pause, untilInterrupted } from './interrupt.js';

export interface LogsArguments {
  name?: string | undefined;
  follow: boolean;
  worker?: string | undefined;
  lines: number;
  stateDir?: string | undefined;
}

/** How often files are looked at for new lines. */
const POLL_MS = 150;

/** Prints the latest lines and, with `follow`, those that come; returns the exit code. */
export async function showLogs({ name, follow, worker, lines, stateDir }: LogsArguments): Promise<number> {
  if (!Number.isSafeInteger(lines) || lines < 0)
    throw new UsageError(`-n must be a whole number from 0, not ${lines}`);
  const dir = await experimentDir(stateRoot(stateDir), name);
  const wanted = (unit: string) => worker === undefined || unit === worker || unit.startsWith(`${worker}/`);
  const printer = new LinePrinter(worker === undefined || !worker.includes('/'));
  const units = logUnits(dir).filter(wanted);
  if (units.length === 0 && (!follow || worker !== undefined)) throw nothingLogged(dir, worker);
  // Opened before the history is read, so that no line falls between the two.
  const followed = new Map(
    follow ? units.map((unit) => [unit, new FollowedFile(fileOf(dir, unit), 'end')]) : [],
  );
  printer.print(
    units
      .flatMap((unit) => history(dir, unit, lines))
      .sort(byTime)
      .slice(-lines || Infinity),
  );
  return follow ? followLogs(dir, followed, wanted, printer) : EXIT.CLEAN;
}

async function experimentDir(root: string, name: string | undefined): Promise<StateDir> {
  if (name !== undefined) return (await namedExperiment(root, name)).dir;
  // The logs of the only experiment there is are worth reading after its end, too.
  const known = knownExperiments(root);
  const [only] = known;
  return known.length === 1 && only ? only.dir : onlyRunning(root, 'logs').dir;
}

function nothingLogged(dir: StateDir, worker: string | undefined): CommandError {
  const units = logUnits(dir);
  if (units.length === 0)
    return new CommandError(`there are no logs of ${dir.name} in ${dir.logsDir}`, EXIT.NOT_RUNNING);
  return new CommandError(
    `no worker or process ${worker} has logged; there are ${units.join(', ')}`,
    EXIT.USAGE,
  );
}

interface UnitLine extends LogLine {
  unit: string;
}

function history(dir: StateDir, unit: string, lines: number): UnitLine[] {
  return lastLines(fileOf(dir, unit), lines).map((line) => parse(unit, line));
}

function byTime(a: UnitLine, b: UnitLine): number {
  return a.time < b.time ? -1 : a.time > b.time ? 1 : 0;
}

async function followLogs(
  dir: StateDir,
  followed: Map<string, FollowedFile>,
  wanted: (unit: string) => boolean,
  printer: LinePrinter,
): Promise<number> {
  const interrupted = untilInterrupted();
  const printNew = () => {
    for (const unit of logUnits(dir).filter(wanted)) {
      if (!followed.has(unit)) followed.set(unit, new FollowedFile(fileOf(dir, unit), 'beginning'));
    }
    const lines = [...followed].flatMap(([unit, file]) => file.read().map((line) => parse(unit, line)));
    printer.print(lines.sort(byTime));
  };
  while (!interrupted.signal.aborted) {
    // Asked first: what was written until it ended is then still printed.
    const running = readPidFile(dir).kind === 'running';
    printNew();
    if (!running) break;
    await pause(POLL_MS, interrupted.signal);
  }
  for (const file of followed.values()) file.close();
  interrupted.close();
  return EXIT.CLEAN;
}

const DAEMON = 'daemon';

/** The units that have a log file, the daemon first. Rotated files are their continuation, not units. */
function logUnits(dir: StateDir): string[] {
  let names: string[];
  try {
    names = readdirSync(dir.logsDir);
  } catch {
    return [];
  }
  const units = names.flatMap((name) => {
    const match = /^(?:(daemon)|(.+~\d+)\.out)\.log$/.exec(name);
    const unit = match?.[1] ?? match?.[2]?.replace('~', '/');
    return unit ? [unit] : [];
  });
  return units.sort(
    (a, b) => Number(b === DAEMON) - Number(a === DAEMON) || a.localeCompare(b, 'en', { numeric: true }),
  );
}

function fileOf(dir: StateDir, unit: string): string {
  return unit === DAEMON ? join(dir.logsDir, 'daemon.log') : dir.unitLog(unit);
}

function parse(unit: string, line: string): UnitLine {
  return { unit, ...parseLine(line, unit === DAEMON ? 'daemon' : 'unit') };
}

class LinePrinter {
  readonly #style: Style = styleFor(process.stdout);
  readonly #keepColours = coloursWanted(process.stdout);
  readonly #tagged: boolean;

  constructor(tagged: boolean) {
    this.#tagged = tagged;
  }

  print(lines: UnitLine[]): void {
    if (lines.length > 0) process.stdout.write(lines.map((line) => this.#format(line)).join(''));
  }

  #format({ time, unit, level, text }: UnitLine): string {
    const { dim, cyan, red, yellow } = this.#style;
    const shown = this.#keepColours ? text : stripVTControlCharacters(text);
    const paint = level === 'error' ? red : level === 'warn' ? yellow : (plain: string) => plain;
    const tag = this.#tagged ? `${cyan(unit)} ` : '';
    return `${time ? `${dim(time)} ` : ''}${tag}${level ? `${paint(level)} ` : ''}${paint(shown)}\n`;
  }
}
