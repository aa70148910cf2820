/** A command on a terminal of its own, as a person has it: keys go in, and it can be closed like a window. */
import { spawn, spawnSync } from 'node:child_process';
import { Run } from './run.js';

/** Why there are no terminals on this machine; false where there are. */
export const noTerminal: string | false =
  process.platform !== 'linux' || spawnSync('script', ['--version'], { stdio: 'ignore' }).status !== 0
    ? 'needs `script` of util-linux'
    : false;

export class Terminal extends Run {
  constructor(command: string[], env: Record<string, string>, cwd: string) {
    const line = `exec ${command.map(quote).join(' ')}`;
    // -e: its exit code is the command's; -f: nothing is held back; -q: no lines of its own.
    const child = spawn('script', ['-qefc', line, '/dev/null'], {
      cwd,
      env: { ...env, SHELL: '/bin/sh', TERM: 'xterm' },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    // It may end while keys are typed.
    child.stdin.on('error', () => {});
    super(`terminal: ${command.slice(1).join(' ')}`, child);
  }

  type(keys: string): void {
    this.child.stdin?.write(keys);
  }

  ctrlC(): void {
    this.type('\x03');
  }

  /** The window is closed: the kernel sends SIGHUP to the command, and its output has no reader any more. */
  close(): void {
    this.child.kill('SIGKILL');
  }
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
