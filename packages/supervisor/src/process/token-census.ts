/** For tests: who is alive, by an account of its own beside the searches under test. */
import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

export interface Sighting {
  pid: number;
  ppid: number;
  session: number;
  state: string;
  command: string;
}

/** Digits that no other process bears in its arguments, e.g. as `sleep 1000.<token>`. */
export function newToken(): string {
  return String(randomInt(100_000_000, 999_999_999));
}

/** Living processes other than ourselves whose arguments hold the token. */
export function alive(token: string): Sighting[] {
  return everybody().filter(
    ({ pid, state, command }) => pid !== process.pid && state !== 'Z' && command.includes(token),
  );
}

/** Children of ours that have ended and that nobody has reaped. */
export function zombies(): Sighting[] {
  return everybody().filter(({ ppid, state }) => ppid === process.pid && state === 'Z');
}

export function see(pid: number): Sighting | undefined {
  const stat = read(`/proc/${pid}/stat`);
  const end = stat.lastIndexOf(')');
  if (end < 0) return undefined;
  const [state = '?', ppid, , session] = stat.slice(end + 2).split(' ');
  const command = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
  return { pid, ppid: Number(ppid), session: Number(session), state, command };
}

/** Kills whoever bears the token, until nobody does. For the end of a test that failed. */
export async function killAll(token: string): Promise<void> {
  await until('nobody bears the token', () => {
    for (const { pid } of alive(token)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Gone since it was seen.
      }
    }
    return alive(token).length === 0;
  });
}

/** Reached only when something is broken, on the slowest machine. */
const DEADLINE_MS = 60_000;
const LOOK_EVERY_MS = 5;

/** For what the kernel shows and announces to nobody. */
export async function until(what: string, look: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + DEADLINE_MS;
  while (!look()) {
    if (performance.now() > giveUpAt) throw new Error(`not within ${DEADLINE_MS / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

function everybody(): Sighting[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => see(Number(name)) ?? []);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
