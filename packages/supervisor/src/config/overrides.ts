/** `--set a.b.c=value`: values given on the command line in place of those in the file. */
import { parseDocument } from 'yaml';
import { formatPath } from './cross-check.js';
import type { Path } from './place.js';
import { takenAsWritten } from './verbatim.js';

export interface Override {
  /** `--set a.b.c`, without the value: it may be a secret. */
  flag: string;
  /** Where it landed, names of list items replaced by their index. */
  path: Path;
}

/** Thrown for a flag that cannot be applied. */
export class OverrideError extends Error {
  override name = 'OverrideError';
  readonly flag: string;

  constructor(flag: string, message: string) {
    super(message);
    this.flag = flag;
  }
}

/** Changes `values` in place. `null` takes a key out, so that its default applies. */
export function applyOverride(values: Record<string, unknown>, assignment: string): Override {
  const equals = assignment.indexOf('=');
  const key = equals < 0 ? assignment : assignment.slice(0, equals);
  const flag = `--set ${key}`;
  if (equals < 0)
    throw new OverrideError(flag, 'has no value; write --set key=value, e.g. --set server.grpc_port=0');
  const segments = key.split('.');
  if (segments.includes('')) throw new OverrideError(flag, 'has an empty key; write --set a.b.c=value');
  const { container, last, path } = walk(values, segments, flag);
  const value = parseValue(assignment.slice(equals + 1), path, flag);
  assign(container, last, value);
  return { flag, path };
}

interface Target {
  container: Record<string, unknown> | unknown[];
  last: string | number;
  path: Path;
}

function walk(values: Record<string, unknown>, segments: string[], flag: string): Target {
  let container: Record<string, unknown> | unknown[] = values;
  let rest = segments;
  const path: (string | number)[] = [];
  for (;;) {
    const { part, used } = Array.isArray(container)
      ? listItem(container, rest, path, flag)
      : { part: rest[0] ?? '', used: 1 };
    if (part === '__proto__') throw new OverrideError(flag, 'cannot set __proto__');
    path.push(part);
    rest = rest.slice(used);
    if (rest.length === 0) return { container, last: part, path };
    container = enter(container, part, path, flag);
  }
}

/** The item that an index or a name stands for. A name may hold dots, so the longest one that fits is taken. */
function listItem(list: unknown[], rest: string[], path: Path, flag: string): { part: number; used: number } {
  const first = rest[0] ?? '';
  if (/^\d+$/.test(first)) {
    if (Number(first) < list.length) return { part: Number(first), used: 1 };
    throw new OverrideError(
      flag,
      `${formatPath(path)} holds ${list.length}; counted from 0, there is no ${first}`,
    );
  }
  const names = list.map((item) => (item as { name?: unknown } | null)?.name);
  for (let used = rest.length; used > 0; used--) {
    const part = names.indexOf(rest.slice(0, used).join('.'));
    if (part >= 0) return { part, used };
  }
  const there = names.filter((name) => typeof name === 'string').join(', ');
  throw new OverrideError(
    flag,
    `${formatPath(path)} has no "${first}"; there are ${there || 'no named items'}`,
  );
}

function enter(
  container: Record<string, unknown> | unknown[],
  part: string | number,
  path: Path,
  flag: string,
): Record<string, unknown> | unknown[] {
  const held: unknown = Object.hasOwn(container, part)
    ? (container as Record<string, unknown>)[part]
    : undefined;
  if (held === undefined || held === null) {
    const made: Record<string, unknown> = {};
    assign(container, part, made);
    return made;
  }
  if (typeof held === 'object') return held as Record<string, unknown> | unknown[];
  throw new OverrideError(flag, `${formatPath(path)} holds a plain value, so nothing can be set below it`);
}

function assign(container: Record<string, unknown> | unknown[], part: string | number, value: unknown): void {
  if (value === null && !Array.isArray(container)) delete container[part];
  else (container as Record<string, unknown>)[part] = value;
}

function parseValue(text: string, path: Path, flag: string): unknown {
  if (takenAsWritten(path)) return text;
  if (text === '') throw new OverrideError(flag, 'has no value; for an empty text write ""');
  const document = parseDocument(text, { prettyErrors: false });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) throw new OverrideError(flag, `its value is not valid YAML: ${problem.message}`);
  return document.toJS({ maxAliasCount: 0 });
}
