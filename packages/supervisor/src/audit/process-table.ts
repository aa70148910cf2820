/** Every process of this machine, with what tells whether it is one of ours. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { COOKIE, processTable } from '../process/observe.js';
import { hasEnded, readCommand, readEnvironment, type ProcStat } from '../process/proc.js';

export interface TableEntry {
  pid: number;
  parentPid: number;
  /** Arguments joined by spaces; the name in brackets where there are none. */
  command: string;
  /** Ended, and only waiting for its parent to ask. */
  ended: boolean;
  /** From its environment; null where it carries none, and where we may not look. */
  cookie: Cookie | null;
}

export interface Cookie {
  experiment: string;
  runId: string;
  unit: string | null;
  /** Absolute path of the experiment's state directory; null where the process does not tell. */
  stateDir: string | null;
}

export async function readTable(): Promise<TableEntry[]> {
  const stats = [...processTable().values()];
  const environmentOf = process.platform === 'linux' ? readEnvironment : await environmentsFromPs();
  return stats.map((stat) => entry(stat, environmentOf(stat.pid)));
}

function entry(stat: ProcStat, environment: Map<string, string> | undefined): TableEntry {
  return {
    pid: stat.pid,
    parentPid: stat.ppid,
    command: (process.platform === 'linux' ? readCommand(stat.pid) : undefined) ?? stat.name,
    ended: hasEnded(stat),
    cookie: environment ? parseCookie(environment) : null,
  };
}

function parseCookie(environment: Map<string, string>): Cookie | null {
  const [experiment, runId] = environment.get(COOKIE.run)?.split(':') ?? [];
  if (experiment === undefined || runId === undefined) return null;
  return {
    experiment,
    runId,
    unit: environment.get(COOKIE.unit) ?? null,
    stateDir: environment.get(COOKIE.state) ?? null,
  };
}

/** macOS: `ps -E` appends the environment to the command of our own processes. */
async function environmentsFromPs(): Promise<(pid: number) => Map<string, string> | undefined> {
  const { stdout } = await promisify(execFile)('ps', ['-axwwE', '-o', 'pid=,command='], {
    maxBuffer: 64 * 1024 * 1024,
  });
  const environments = new Map<number, Map<string, string>>();
  for (const line of stdout.split('\n')) {
    const match = /^\s*(\d+)\s+(.*)$/.exec(line);
    if (!match) continue;
    const variables = [...(match[2] ?? '').matchAll(/(?:^|\s)(SUPERVISOR_[A-Z]+)=(\S+)/g)];
    environments.set(Number(match[1]), new Map(variables.map(([, name = '', value = '']) => [name, value])));
  }
  return (pid) => environments.get(pid);
}
