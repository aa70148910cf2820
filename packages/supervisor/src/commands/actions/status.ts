import { ControlUnavailable, requestControl } from '../../daemon/control-client.js';
import type { StatusReport, UnitStatus } from '../../daemon/status.js';
import { count, formatBytes, formatDuration } from '../../terminal/quantity.js';
import { printable, shorten } from '../../terminal/printable.js';
import { formatReceipt } from '../../terminal/receipt.js';
import { styleFor, type Style } from '../../terminal/style.js';
import { formatTable } from '../../terminal/table.js';
import { EXIT } from '../command-error.js';
import { knownExperiments, namedExperiment, stateRoot, type KnownExperiment } from './experiments.js';
import { readRecords } from '../../state/records.js';
import { pause, untilInterrupted } from './interrupt.js';

export interface StatusArguments {
  name?: string | undefined;
  json: boolean;
  watch: boolean;
  stateDir?: string | undefined;
}

/** What `--json` prints for one experiment: the daemon's report, or what can be known without it. */
export type ExperimentStatus =
  | ({ running: true; answering: true } & StatusReport)
  | {
      running: true;
      answering: false;
      name: string;
      pid: number;
      why: string;
      units: { id: string; pid: number }[];
    }
  | { running: false; name: string };

const WATCH_INTERVAL_MS = 1000;

/** Prints the status of one or all; returns the exit code. */
export async function showStatus(argv: StatusArguments): Promise<number> {
  const root = stateRoot(argv.stateDir);
  if (argv.watch) return watchStatus(root, argv);
  const statuses = await collect(root, argv.name);
  process.stdout.write(
    argv.json ? `${JSON.stringify(document(statuses, argv.name), null, 2)}\n` : render(statuses),
  );
  return exitCode(statuses, argv.name);
}

async function watchStatus(root: string, { name, json }: StatusArguments): Promise<number> {
  const ended = untilInterrupted();
  let code: number = EXIT.CLEAN;
  while (!ended.signal.aborted) {
    const statuses = await collect(root, name);
    code = exitCode(statuses, name);
    if (json) process.stdout.write(`${JSON.stringify(document(statuses, name))}\n`);
    else process.stdout.write(`${process.stdout.isTTY ? '\x1b[H\x1b[J' : ''}${render(statuses)}`);
    // What was asked for is gone: nothing more to watch.
    if (name !== undefined && code !== EXIT.CLEAN) break;
    await pause(WATCH_INTERVAL_MS, ended.signal);
  }
  ended.close();
  return code;
}

async function collect(root: string, name: string | undefined): Promise<ExperimentStatus[]> {
  const experiments = name === undefined ? knownExperiments(root) : [await namedExperiment(root, name)];
  const statuses = await Promise.all(experiments.map(statusOf));
  return name === undefined ? statuses.filter(({ running }) => running) : statuses;
}

async function statusOf({ dir, pidFile }: KnownExperiment): Promise<ExperimentStatus> {
  if (pidFile.kind !== 'running') {
    await cleanUp({ dir, pidFile });
    return { running: false, name: dir.name };
  }
  try {
    const report = (await requestControl(dir, { op: 'status' })) as StatusReport;
    return { running: true, answering: true, ...report };
  } catch (error) {
    if (!(error instanceof ControlUnavailable)) throw error;
    const records = readRecords(dir);
    return {
      running: true,
      answering: false,
      name: dir.name,
      pid: pidFile.identity.pid,
      why: error.message,
      units: records.flatMap(({ unit, leader }) => (leader ? [{ id: unit, pid: leader.pid }] : [])),
    };
  }
}

/** Every command that finds a run dead cleans up after it. */
async function cleanUp({ dir, pidFile }: KnownExperiment): Promise<void> {
  if (pidFile.kind === 'none' && readRecords(dir).length === 0) return;
  const { reconcile } = await import('../../process/reconcile.js');
  const { receipt } = await reconcile(dir);
  if (receipt && receipt.processes.length > 0) process.stderr.write(formatReceipt(receipt));
}

function document(statuses: ExperimentStatus[], name: string | undefined): unknown {
  return name === undefined ? statuses : statuses[0];
}

function exitCode(statuses: ExperimentStatus[], name: string | undefined): number {
  return name !== undefined && statuses.some(({ running }) => !running) ? EXIT.NOT_RUNNING : EXIT.CLEAN;
}

function render(statuses: ExperimentStatus[]): string {
  const style = styleFor(process.stdout);
  if (statuses.length === 0) return 'no experiment is running\n';
  return statuses.map((status) => renderOne(status, style)).join('\n');
}

function renderOne(status: ExperimentStatus, style: Style): string {
  if (!status.running) return `${style.bold(status.name)} is not running\n`;
  if (!status.answering) {
    const units = status.units.map(({ id, pid }) => `  ${id} pid ${pid}\n`).join('');
    return `${style.bold(status.name)} ${style.yellow('does not answer')} (pid ${status.pid}): ${status.why}\n${units}`;
  }
  return renderReport(status, style);
}

function renderReport(report: StatusReport, style: Style): string {
  const { name, pid, state, startedAt, endpoints, containment, units, models } = report;
  const paintState = state === 'ready' ? style.green : style.yellow;
  const uptime = formatDuration(Date.now() - Date.parse(startedAt));
  let text = `${style.bold(name)} ${paintState(state)}, pid ${pid}, up ${uptime}, containment ${containment.tier}\n`;
  if (containment.degraded) text += `  ${style.yellow('weaker than usual:')} ${containment.degraded}\n`;
  if (endpoints.grpc) text += `  gRPC on ${endpoints.grpc.host}:${endpoints.grpc.port}\n`;
  for (const model of models) {
    const failed = model.failed > 0 ? style.red(`${model.failed} failed`) : '0 failed';
    text += `  model ${model.name}: ${model.ready ? style.green('ready') : style.yellow('not ready')}, `;
    text += `${model.readyReplicas} of ${count(model.replicas, 'replica')}, ${model.succeeded} answered, ${failed}, ${model.queued} queued\n`;
  }
  if (units.length === 0) return text;
  const table = formatTable(
    [
      { title: 'UNIT' },
      { title: 'STATE' },
      { title: 'PID', align: 'right' },
      { title: 'UP', align: 'right' },
      { title: 'CPU', align: 'right' },
      { title: 'MEMORY', align: 'right' },
      { title: 'RESTARTS', align: 'right' },
      { title: 'IN FLIGHT', align: 'right' },
      { title: 'DONE', align: 'right' },
      { title: 'NOTE' },
    ],
    units.map((unit) => unitRow(unit, style)),
  );
  return text + table.replace(/^(?=.)/gm, '  ');
}

function unitRow(unit: UnitStatus, style: Style): string[] {
  const { id, state, pid, uptimeMs, cpuPercent, memoryBytes, restarts, inFlight, completed } = unit;
  const paint =
    state === 'ready' ? style.green : state === 'failed' || state === 'crashed' ? style.red : style.yellow;
  return [
    id,
    paint(state),
    text(pid, String),
    text(uptimeMs, formatDuration),
    text(cpuPercent, (percent) => `${percent.toFixed(1)} %`),
    text(memoryBytes, formatBytes),
    String(restarts),
    text(inFlight, String),
    text(completed, String),
    shorten(printable(note(unit)), 60),
  ];
}

function text<T>(value: T | null, format: (value: T) => string): string {
  return value === null ? '-' : format(value);
}

function note({ state, lastError, progress }: UnitStatus): string {
  if (state === 'loading' && progress) {
    return progress.total > 0
      ? `${progress.stage} ${Math.floor((progress.done / progress.total) * 100)} %`
      : progress.stage;
  }
  return lastError ?? '';
}
