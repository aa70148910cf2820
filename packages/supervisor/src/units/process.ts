/** A plain supervised command: what makes it ready, and where its output goes. */
import { access } from 'node:fs/promises';
import { connect } from 'node:net';
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import type { Unit } from '../process/unit.js';
import type { UnitLog } from '../telemetry/unit-log.js';
import { within } from './deadline.js';
import { UnitFailure } from './failure.js';
import { EXIT_FOLLOWS_PIPE_MS, lastWords, type Attachment } from './supervised.js';

/** `ready` of a process in the experiment file. Without one a process is ready as soon as it runs. */
export type ReadyProbe = { port: number } | { log: string } | { file: string } | undefined;

export interface ProcessOptions {
  probe: ReadyProbe;
  /** Folder that a relative `ready.file` is resolved against. */
  cwd: string;
  log: UnitLog;
}

/** How often a port or a file is looked for. */
const PROBE_INTERVAL_MS = 50;

export function attachProcess(unit: Unit, { probe, cwd, log }: ProcessOptions): Attachment {
  const closing = new AbortController();
  const lineSeen = probe && 'log' in probe ? watchFor(new RegExp(probe.log)) : null;
  const output = Promise.all([
    log.follow(unit.stdout, lineSeen?.look),
    log.follow(unit.stderr, lineSeen?.look),
  ]);
  return {
    begun: Promise.resolve(),
    ready: lineSeen?.seen ?? untilProbed(probe, cwd, closing.signal),
    fault: new Promise(() => {}),
    explainExit: async (exit) => {
      if (exit.code === 0) return undefined;
      await within(EXIT_FOLLOWS_PIPE_MS, output);
      return new UnitFailure(lastWords(exit, log));
    },
    detach: () => closing.abort(),
    close: () => discard([unit.stdout, unit.stderr]),
  };
}

function watchFor(pattern: RegExp): { seen: Promise<void>; look: (line: string) => void } {
  let look: (line: string) => void = () => {};
  const seen = new Promise<void>((resolveSeen) => {
    look = (line) => {
      if (pattern.test(line)) resolveSeen();
    };
  });
  return { seen, look: (line) => look(line) };
}

async function untilProbed(probe: ReadyProbe, cwd: string, signal: AbortSignal): Promise<void> {
  if (!probe || 'log' in probe) return;
  const check = 'port' in probe ? () => accepts(probe.port) : () => exists(resolve(cwd, probe.file));
  while (!signal.aborted) {
    if (await check()) return;
    await new Promise((wake) => setTimeout(wake, PROBE_INTERVAL_MS));
  }
  // Detached before it was ready: the run's end is reported by whoever detached it.
  return new Promise(() => {});
}

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

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function discard(streams: Readable[]): void {
  for (const stream of streams) stream.destroy();
}
