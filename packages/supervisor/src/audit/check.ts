/** Looks over a state directory: ports, processes and GPU memory that do not belong to a running experiment. */
import { requestControl } from '../daemon/control-client.js';
import type { StatusReport } from '../daemon/status.js';
import { isRunning as isAlive } from '../process/identity.js';
import { readRecords } from '../state/records.js';
import type { StateDir } from '../state/directory.js';
import type { PidFile } from '../state/pid-file.js';
import { readGpus, type GpuReport } from './gpu.js';
import { findLeftovers, type Leftover, type RecordedProcess, type RunningRun } from './leftovers.js';
import { listListeners, type Listener } from './ports.js';
import { readTable, type TableEntry } from './process-table.js';

export interface Finding {
  topic: 'ports' | 'processes' | 'gpu';
  /** False for what is as it should be, or cannot be known. */
  wrong: boolean;
  text: string;
}

export interface ExaminedExperiment {
  dir: StateDir;
  pidFile: PidFile;
}

/** What every topic looks at, read once. */
export interface Scene {
  experiments: ExaminedExperiment[];
  table: TableEntry[];
  leftovers: Leftover[];
}

export async function lookAround(root: string, experiments: ExaminedExperiment[]): Promise<Scene> {
  const table = await readTable();
  const running: RunningRun[] = [];
  const recorded: RecordedProcess[] = [];
  for (const { dir, pidFile } of experiments) {
    if (pidFile.kind === 'running') {
      running.push({ experiment: dir.name, runId: pidFile.runId });
      continue;
    }
    for (const { unit, leader } of readRecords(dir)) {
      if (leader && isAlive(leader)) recorded.push({ pid: leader.pid, experiment: dir.name, unit });
    }
  }
  return { experiments, table, leftovers: findLeftovers({ table, root, running, recorded }) };
}

export function checkProcesses({ leftovers, experiments, table }: Scene): Finding[] {
  const findings: Finding[] = leftovers.map(({ pid, experiment, unit, command, foundBy }) => ({
    topic: 'processes',
    wrong: true,
    text: `pid ${pid} is left from ${experiment}${unit ? ` (${unit})` : ''}, found by its ${foundBy}: ${command}`,
  }));
  for (const { dir, pidFile } of experiments) {
    if (pidFile.kind === 'stale' || pidFile.kind === 'junk') {
      const why = pidFile.kind === 'stale' ? pidFile.why : `it holds ${pidFile.text}`;
      findings.push(
        fine('processes', `the PID file of ${dir.name} means nobody: ${why}; supervisor reap removes it`),
      );
    }
    if (pidFile.kind === 'running') {
      const members = table.filter(
        ({ cookie }) => cookie?.experiment === dir.name && cookie.runId === pidFile.runId,
      ).length;
      findings.push(
        fine('processes', `${dir.name} runs: daemon ${pidFile.identity.pid} and ${members} below it`),
      );
    }
  }
  return findings;
}

export async function checkPorts({ experiments, leftovers }: Scene): Promise<Finding[]> {
  const listeners = await listListeners();
  const findings: Finding[] = [];
  for (const { dir, pidFile } of experiments) {
    if (pidFile.kind !== 'running') continue;
    const report = await reportOf(dir);
    if (report === null) {
      findings.push({
        topic: 'ports',
        wrong: true,
        text: `${dir.name} does not say which port it serves: its daemon (pid ${pidFile.identity.pid}) does not answer`,
      });
    } else if (report.endpoints.grpc) {
      findings.push(servedPort(dir.name, pidFile.identity.pid, report.endpoints.grpc.port, listeners));
    }
  }
  for (const { pid, experiment, command } of leftovers) {
    for (const { address, port } of listeners.filter(({ pids }) => pids.includes(pid))) {
      findings.push({
        topic: 'ports',
        wrong: true,
        text: `${address}:${port} is held by pid ${pid}, left from ${experiment}: ${command}`,
      });
    }
  }
  return findings;
}

function servedPort(experiment: string, daemonPid: number, port: number, listeners: Listener[]): Finding {
  const there = listeners.filter((listener) => listener.port === port);
  if (there.some(({ pids }) => pids.includes(daemonPid))) {
    return fine('ports', `${experiment} listens on ${port} (pid ${daemonPid})`);
  }
  const holders = there.flatMap(({ pids }) => pids).join(', ') || 'nobody';
  return {
    topic: 'ports',
    wrong: true,
    text: `${experiment} should listen on ${port} (pid ${daemonPid}), but ${holders} does`,
  };
}

async function reportOf(dir: StateDir): Promise<StatusReport | null> {
  try {
    return (await requestControl(dir, { op: 'status' })) as StatusReport;
  } catch {
    return null;
  }
}

export async function checkGpu({ leftovers }: Scene, gpus?: GpuReport): Promise<Finding[]> {
  const report = gpus ?? (await readGpus());
  if (!report.known) return [fine('gpu', `GPU memory is unknown: ${report.why}`)];
  const findings = report.devices.map(({ index, name, usedBytes, totalBytes }) =>
    fine('gpu', `GPU ${index} (${name}): ${mib(usedBytes)} of ${mib(totalBytes)} MiB used`),
  );
  const left = new Map(leftovers.map((leftover) => [leftover.pid, leftover]));
  for (const { pid, usedBytes } of report.processes) {
    const leftover = left.get(pid);
    const memory =
      usedBytes === null ? 'an unknown amount of GPU memory' : `${mib(usedBytes)} MiB of GPU memory`;
    if (leftover)
      findings.push({
        topic: 'gpu',
        wrong: true,
        text: `pid ${pid}, left from ${leftover.experiment}, holds ${memory}: ${leftover.command}`,
      });
    else findings.push(fine('gpu', `pid ${pid} holds ${memory}`));
  }
  return findings;
}

function mib(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}

function fine(topic: Finding['topic'], text: string): Finding {
  return { topic, wrong: false, text };
}
