/** The PID file: the pid alone on the first line, for `kill $(head -1 ...)` and systemd; who that is on the second. */
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { identify, isFromHere, isIdentity, isRunning, type ProcessIdentity } from '../process/identity.js';
import type { StateDir } from './directory.js';
import { writeWhole } from './durable.js';

export type PidFile =
  | { kind: 'none' }
  | { kind: 'running'; identity: ProcessIdentity; runId: string }
  /** Whoever wrote it is gone; `why` says how that is known. */
  | { kind: 'stale'; why: string; pid: number; runId: string | null }
  | { kind: 'junk'; text: string };

interface SecondLine extends ProcessIdentity {
  runId: string;
}

const SHOWN_CHARACTERS = 80;

export function readPidFile(dir: StateDir): PidFile {
  let text: string;
  try {
    text = readFileSync(dir.pidFile, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'none' };
    if (code === 'EISDIR') return { kind: 'junk', text: 'a folder' };
    throw error;
  }
  const [first = '', second = ''] = text.split('\n');
  if (!/^\d{1,10}$/.test(first.trim()))
    return { kind: 'junk', text: JSON.stringify(text.slice(0, SHOWN_CHARACTERS)) };
  const pid = Number(first);
  const owner = parseOwner(second);
  if (!owner || owner.pid !== pid) {
    // Not written by us: a pid alone says nothing about who has it now, so nobody is signalled for it.
    return { kind: 'stale', why: 'it does not say which process it means', pid, runId: null };
  }
  const { runId, ...identity } = owner;
  if (isRunning(identity)) return { kind: 'running', identity, runId };
  return { kind: 'stale', why: whyStale(identity), pid, runId };
}

export async function writePidFile(dir: StateDir, runId: string): Promise<void> {
  const self = identify(process.pid);
  if (!self) throw new Error('cannot read the start time of this process');
  await writeWhole(dir.pidFile, `${process.pid}\n${JSON.stringify({ ...self, runId })}\n`);
}

/** Only when it still is the one of this run. True when it was removed. */
export async function removePidFile(dir: StateDir, runId: string): Promise<boolean> {
  const file = readPidFile(dir);
  if (!('runId' in file) || file.runId !== runId) return false;
  await rm(dir.pidFile, { force: true });
  return true;
}

function whyStale(identity: ProcessIdentity): string {
  if (!isFromHere(identity)) return 'it is of another boot or PID namespace';
  const now = identify(identity.pid);
  if (!now || now.startTicks === identity.startTicks) return `process ${identity.pid} has ended`;
  return `pid ${identity.pid} now belongs to another process`;
}

function parseOwner(line: string): SecondLine | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isIdentity(value) && typeof (value as Partial<SecondLine>).runId === 'string'
      ? (value as SecondLine)
      : undefined;
  } catch {
    return undefined;
  }
}
