/** Whether one experiment has left anything behind. */
import { readdir } from 'node:fs/promises';
import type { StateDir } from '../state/directory.js';
import { readPidFile } from '../state/pid-file.js';
import { readTable } from './process-table.js';

export interface ExperimentAudit {
  clean: boolean;
  /** A sentence for each thing that is left. */
  findings: string[];
}

/** Looks for its processes, PID file, records and control socket. Meant for an experiment that has been stopped. */
export async function auditExperiment(dir: StateDir): Promise<ExperimentAudit> {
  const findings: string[] = [];
  const pidFile = readPidFile(dir);
  if (pidFile.kind === 'running') findings.push(`the daemon is still running (pid ${pidFile.identity.pid})`);
  else if (pidFile.kind !== 'none') findings.push(`its PID file is still there: ${dir.pidFile}`);

  for (const { pid, cookie, command, ended } of await readTable()) {
    if (ended || pid === process.pid || cookie?.experiment !== dir.name) continue;
    // An experiment of the same name under another state root is none of ours.
    if (cookie.stateDir !== null && cookie.stateDir !== dir.path) continue;
    findings.push(`pid ${pid} of ${cookie.unit ?? 'an unknown unit'} is still running: ${command}`);
  }
  for (const record of await listOptional(dir.recordsDir))
    findings.push(`a record is still there: ${record}`);
  return { clean: findings.length === 0, findings };
}

async function listOptional(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch {
    return [];
  }
}
