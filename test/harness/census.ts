/** Everything alive that came out of one test, however well it hides: an account of its own beside the product's. */
import { environmentOf, isAlive, seeAllProcesses, workingFolderOf, type ProcessSeen } from './proc.js';
import { until } from './until.js';

export interface Marks {
  /** `NAME=value` in the environment that all processes of the test are given. */
  variable: string;
  value: string;
  /** Stands in the arguments of those that clear their environment. */
  token: string;
  /** The test's own folder: a process that works in it belongs to the test. */
  folder: string;
}

export class Census {
  readonly #marks: Marks;
  /** Every process that was ever seen to belong, as `pid:startTicks`: it stays one of ours after losing its marks. */
  readonly #known = new Set<string>();
  readonly #knownPids = new Set<number>();

  constructor(marks: Marks) {
    this.#marks = marks;
  }

  /** Those alive now; zombies are not. */
  take(): ProcessSeen[] {
    const all = seeAllProcesses().filter(({ pid }) => pid !== process.pid);
    const ours = new Set(all.filter((seen) => this.#known.has(key(seen)) || this.#isMarked(seen)));
    // A child or a session of one of ours is ours, to any depth.
    for (let before = -1; before !== ours.size;) {
      before = ours.size;
      const pids = new Set([...this.#knownPids, ...[...ours].map(({ pid }) => pid)]);
      const livingPids = new Set([...ours].map(({ pid }) => pid));
      for (const seen of all) if (livingPids.has(seen.ppid) || pids.has(seen.session)) ours.add(seen);
    }
    for (const seen of ours) {
      this.#known.add(key(seen));
      this.#knownPids.add(seen.pid);
    }
    return [...ours].filter(isAlive).sort((a, b) => a.pid - b.pid);
  }

  /** Kills what is alive until nothing is. */
  async killAll(): Promise<void> {
    await until(
      'all processes of the test gone after SIGKILL',
      () => {
        const living = this.take();
        for (const { pid } of living) kill(pid);
        return living.length === 0;
      },
      { deadlineMs: 20_000, detail: () => describe(this.take()) },
    );
  }

  #isMarked({ pid, command }: ProcessSeen): boolean {
    const { variable, value, token, folder } = this.#marks;
    if (command.includes(token)) return true;
    if (environmentOf(pid)[variable] === value) return true;
    return workingFolderOf(pid).startsWith(folder);
  }
}

export function describe(processes: ProcessSeen[]): string {
  const rows = processes.map(
    ({ pid, ppid, session, state, command }) =>
      `  pid ${pid} parent ${ppid} session ${session} ${state} ${command.slice(0, 160)}`,
  );
  return rows.join('\n') || '  (no processes)';
}

function key({ pid, startTicks }: ProcessSeen): string {
  return `${pid}:${startTicks}`;
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone between looking and killing.
  }
}
