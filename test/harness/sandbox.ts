/**
 * A place of its own for one test: folder, state, environment, and the account of every process that came out of it.
 * It ends with the proof that nothing is left, and when the test failed, with whatever is left killed.
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Census, describe } from './census.js';
import { InferenceClient } from './client.js';
import type { ExperimentFile } from './experiments.js';
import { environmentOf, seeProcess, type ProcessSeen } from './proc.js';
import { bin } from './repository.js';
import { Run, tail, type Ended } from './run.js';
import { Terminal } from './terminal.js';
import { until } from './until.js';

export interface Started {
  name: string;
  run: Run;
  port: number;
  daemonPid: number;
}

export interface RunOptions {
  env?: Record<string, string>;
  cwd?: string;
  /** Words before the command, e.g. `setpriv --reuid ...`. */
  prefix?: string[];
}

const MARK = 'SUPERVISOR_TEST';

export class Sandbox {
  readonly folder: string;
  /** Where the CLI keeps its state: the default place that follows from this sandbox's environment. */
  readonly stateRoot: string;
  readonly env: Record<string, string>;
  /** Digits that stand in the arguments of processes which clear their environment, e.g. `sleep 1000.<token>`. */
  readonly token: string;
  readonly census: Census;
  readonly #runs: Run[] = [];
  readonly #ports = new Set<number>();
  readonly #closers: (() => void | Promise<void>)[] = [];

  constructor() {
    this.token = String(randomInt(100_000_000, 999_999_999));
    // Short: a unix socket's path has 108 bytes at most.
    const base = tmpdir().length > 40 ? '/tmp' : tmpdir();
    this.folder = mkdtempSync(join(base, 'sv-'));
    const runtime = join(this.folder, 'run');
    mkdirSync(runtime, { mode: 0o700 });
    this.stateRoot = join(runtime, 'supervisor');
    // A whole environment, not the test runner's: no colours, no test context, no one's settings.
    this.env = {
      PATH: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
      HOME: this.folder,
      TMPDIR: this.folder,
      LANG: 'C.UTF-8',
      XDG_RUNTIME_DIR: runtime,
      [MARK]: this.token,
    };
    this.census = new Census({ variable: MARK, value: this.token, token: this.token, folder: this.folder });
  }

  // --- commands

  /** Starts `supervisor ARGS...`. */
  supervisor(args: string[], { env = {}, cwd = this.folder, prefix = [] }: RunOptions = {}): Run {
    const [command = '', ...rest] = [...prefix, process.execPath, bin, ...args];
    const child = spawn(command, rest, {
      cwd,
      env: { ...this.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return this.#keep(new Run(`supervisor ${args.join(' ')}`, child));
  }

  /** Runs `supervisor ARGS...` to its end. */
  async command(args: string[], options?: RunOptions): Promise<Ended> {
    return this.supervisor(args, options).end();
  }

  terminal(args: string[]): Terminal {
    return this.#keep(new Terminal([process.execPath, bin, ...args], this.env, this.folder));
  }

  /** Any other process that belongs to the test, e.g. one that holds a port. */
  process(command: string[]): Run {
    const [file = '', ...args] = command;
    const child = spawn(file, args, { cwd: this.folder, env: this.env, stdio: ['ignore', 'pipe', 'pipe'] });
    return this.#keep(new Run(command.join(' '), child));
  }

  /** `supervisor start` in the foreground, until it says that it is ready. */
  async start(experiment: ExperimentFile, args: string[] = []): Promise<Started> {
    const run = this.supervisor(['start', this.write(experiment), ...args]);
    return this.ready(experiment.name, run);
  }

  /** `supervisor start --detach`, which ends when the experiment is ready. */
  async startDetached(experiment: ExperimentFile, args: string[] = []): Promise<Started> {
    const run = this.supervisor(['start', this.write(experiment), '--detach', ...args]);
    const started = await this.ready(experiment.name, run);
    const { code } = await run.end();
    if (code !== 0) throw new Error(`start --detach ended with code ${code}`);
    return started;
  }

  /** Waits until a started run with a model says how to call it. */
  async ready(name: string, run: Run): Promise<Started> {
    const match = await run.waitFor(READY_WITH_ADDRESS);
    const port = Number(match[1]);
    this.#ports.add(port);
    return { name, run, port, daemonPid: this.daemonPid(name) };
  }

  /** A client that is closed with the sandbox. */
  client(port: number): InferenceClient {
    const client = new InferenceClient(port);
    this.onClose(() => client.close());
    return client;
  }

  // --- files

  /** Writes an experiment file and returns its path. JSON is YAML too. */
  write(experiment: ExperimentFile): string {
    return this.file(`${experiment.name}.yaml`, JSON.stringify(experiment, null, 2));
  }

  file(name: string, content: string | Uint8Array): string {
    const path = join(this.folder, name);
    writeFileSync(path, content);
    return path;
  }

  read(name: string): string {
    return readFileSync(join(this.folder, name), 'utf8');
  }

  exists(name: string): boolean {
    return existsSync(join(this.folder, name));
  }

  /** Path in the state folder of an experiment. */
  state(name: string, ...path: string[]): string {
    return join(this.stateRoot, name, ...path);
  }

  // --- processes

  daemonPid(name: string): number {
    const [line = ''] = readFileSync(this.state(name, 'supervisor.pid'), 'utf8').split('\n');
    if (!/^\d+$/.test(line)) throw new Error(`the first line of the PID file is ${JSON.stringify(line)}`);
    return Number(line);
  }

  /** Leaders of the units under this daemon by unit id, as the kernel shows them. */
  units(daemonPid: number): Map<string, ProcessSeen> {
    const found = new Map<string, ProcessSeen>();
    for (const seen of this.census.take()) {
      const unit = environmentOf(seen.pid)['SUPERVISOR_UNIT'];
      if (unit && seen.ppid === daemonPid) found.set(unit, seen);
    }
    return found;
  }

  unit(daemonPid: number, id: string): ProcessSeen {
    const seen = this.units(daemonPid).get(id);
    if (!seen) throw new Error(`no unit ${id} under ${daemonPid}:\n${describe(this.census.take())}`);
    return seen;
  }

  /** Living processes whose command line matches. */
  find(pattern: RegExp): ProcessSeen[] {
    return this.census.take().filter(({ command }) => pattern.test(command));
  }

  guardianPid(daemonPid: number): number {
    const daemon = seeProcess(daemonPid);
    if (!daemon) throw new Error(`the daemon ${daemonPid} is gone`);
    return daemon.ppid;
  }

  /** Waits until no process of the test is alive. */
  async untilEmpty(): Promise<void> {
    await until('no process of the test is left', () => this.census.take().length === 0, {
      detail: () => describe(this.census.take()),
    });
  }

  // --- the end

  onClose(close: () => void | Promise<void>): void {
    this.#closers.push(close);
  }

  /** Throws unless the test's processes, ports and state files are gone, now: "stopped" is not "about to be". */
  async assertNothingLeft(): Promise<void> {
    const left = this.census.take();
    if (left.length > 0) throw new Error(`processes left behind:\n${describe(left)}`);
    const files = this.#stateLeft();
    if (files.length > 0) throw new Error(`state files left behind: ${files.join(', ')}`);
    for (const port of this.#ports) {
      if (await accepts(port)) throw new Error(`port ${port} still accepts connections`);
    }
  }

  /** The same by the product's own account. */
  async assertClean(): Promise<void> {
    await this.assertNothingLeft();
    const { code, text } = await this.command(['check']);
    if (code !== 0) throw new Error(`check ended with code ${code}:\n${text}`);
  }

  /** Closes what was opened and kills what is left. */
  async close(): Promise<void> {
    for (const close of this.#closers.reverse()) await close();
    await this.census.killAll();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** What one wants to see of a failed test. */
  explain(): string {
    const logs = this.#names().map((name) => {
      const log = this.state(name, 'logs', 'daemon.log');
      return existsSync(log) ? `--- ${log}\n${tail(readFileSync(log, 'utf8'))}` : '';
    });
    const processes = `--- processes of the test now\n${describe(this.census.take())}`;
    return [...this.#runs.map((run) => run.describe()), ...logs, processes].filter(Boolean).join('\n');
  }

  #keep<R extends Run>(run: R): R {
    this.#runs.push(run);
    return run;
  }

  #names(): string[] {
    return existsSync(this.stateRoot) ? readdirSync(this.stateRoot) : [];
  }

  #stateLeft(): string[] {
    return this.#names().flatMap((name) => {
      const folder = this.state(name);
      const records = join(folder, 'records');
      const recorded = existsSync(records) ? readdirSync(records).map((file) => join(records, file)) : [];
      const transient = ['supervisor.pid', 'control.sock']
        .map((file) => join(folder, file))
        .filter((path) => existsSync(path));
      return [...transient, ...recorded];
    });
  }
}

/** The line that ends a start: what is ready, and the address to call. */
const READY_WITH_ADDRESS = /\bready\b.*?(?:127\.0\.0\.1|localhost):(\d+)/i;

function accepts(port: number): Promise<boolean> {
  return new Promise((answer) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      answer(true);
    });
    socket.once('error', () => answer(false));
  });
}
