/** Prints figures as a table, each beside its reference, and writes them as JSON. */
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { median, quantile } from './rounds.js';

export interface Figure {
  what: string;
  unit: string;
  samples: number[];
  /** What the figure is judged against; absent for those that are only shown. */
  aim?: { text: string; met: boolean };
}

/** Of the last minute, before the benchmark itself adds to it: what others do on this machine. */
const loadBefore = loadOfLastMinute();

export function reportFigures(bench: string, figures: Figure[], out: string | undefined): void {
  const rows = figures.map(({ what, unit, samples, aim }) => [
    what,
    number(median(samples)),
    middleHalf(samples).map(number).join(' to '),
    unit,
    aim ? `${aim.met ? 'yes' : 'NO'}: ${aim.text}` : '',
  ]);
  const header = ['', 'median', 'middle half', 'unit', 'as wanted'];
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  for (const row of [header, ...rows]) {
    const cells = row.map((cell, column) =>
      column === 1 ? cell.padStart(widths[1] ?? 0) : cell.padEnd(widths[column] ?? 0),
    );
    console.log(cells.join('  ').trimEnd());
  }
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    node: process.version,
    load: { before: loadBefore, after: loadOfLastMinute() },
  };
  console.log(
    `${samplesOf(figures)} rounds, ${machine.cores} cores (${machine.cpu}), node ${machine.node}, ` +
      `load of the machine ${number(machine.load.before)} before and ${number(machine.load.after)} after`,
  );
  if (out) {
    const summary = figures.map((figure) => ({
      ...figure,
      median: median(figure.samples),
      middleHalf: middleHalf(figure.samples),
    }));
    writeFileSync(out, `${JSON.stringify({ bench, machine, figures: summary }, null, 2)}\n`);
  }
}

function middleHalf(samples: number[]): [number, number] {
  return [quantile(samples, 0.25), quantile(samples, 0.75)];
}

function loadOfLastMinute(): number {
  return loadavg()[0] ?? NaN;
}

function samplesOf(figures: Figure[]): number {
  return Math.max(0, ...figures.map(({ samples }) => samples.length));
}

function number(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
