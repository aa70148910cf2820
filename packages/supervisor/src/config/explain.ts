/** Turns the schema's findings into sentences: what is wrong, the actual value, and what was meant. */
import type { core } from 'zod';
import { formatPath } from './cross-check.js';
import { keysAt, placesOfKey, schemaAt } from './known-keys.js';
import type { Path } from './place.js';
import { suggest } from './suggest.js';
import { unsupportedKey, unsupportedValue } from './unsupported-keys.js';

export interface Finding {
  path: Path;
  /** Whether the key itself is wrong or what stands behind it. */
  target: 'key' | 'value';
  message: string;
}

/** `values` is what was validated; actual values are quoted from it. */
export function explain(issue: core.$ZodIssue, values: unknown): Finding[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      path: [...issue.path, key],
      target: 'key',
      message: unknownKey(issue.path, key),
    }));
  }
  const path = issue.path;
  const where = formatPath(path);
  const actual = valueAt(values, path);
  const finding = (message: string): Finding[] => [{ path, target: 'value', message }];
  if (issue.code === 'custom')
    return finding(where === '' ? issue.message : customMessage(where, issue.message, actual, path));
  if (actual === undefined) return finding(`${where} is missing`);
  if (actual === null && path.length > 0)
    return finding(`${where} has no value; give it ${expected(issue)} or remove the key`);
  if (Array.isArray(actual) && expectsScalar(issue)) {
    return finding(
      `${where} is a list, which would be a sweep; sweeps are not available yet, give it ${expected(issue)}`,
    );
  }
  const unsupported = unsupportedValue(path, actual);
  if (unsupported) return finding(unsupported);
  if (issue.message.startsWith('must'))
    return finding(`${where} ${issue.message}, not ${show(actual, path)}`);
  const meant = meantBy(issue, actual);
  const name = where || 'an experiment';
  return finding(`${name} must be ${expected(issue)}, not ${show(actual, path)}${meant ? `; ${meant}` : ''}`);
}

/** Rules of single values begin with "must" and name the value; rules across keys are sentences of their own. */
export function explainRule({ path, message }: { path: Path; message: string }, values: unknown): Finding[] {
  const where = formatPath(path);
  const named = where === '' ? message : `${where}: ${message}`;
  const single = message.startsWith('must');
  return [
    {
      path,
      target: 'value',
      message: single ? `${where} ${message}, not ${show(valueAt(values, path), path)}` : named,
    },
  ];
}

function unknownKey(path: Path, key: string): string {
  const place = path.length > 0 ? ` in ${formatPath(path)}` : '';
  const unsupported = unsupportedKey(key);
  const near = suggest(key, keysAt(path));
  const elsewhere = placesOfKey(key);
  if (elsewhere.length > 0) return `unknown key "${key}"${place}; did you mean ${elsewhere.join(' or ')}?`;
  if (unsupported) return unsupported;
  if (near) return `unknown key "${key}"${place}; did you mean ${near}?`;
  return `unknown key "${key}"${place}; the keys are ${keysAt(path).join(', ')}`;
}

/** Rules of single values begin with "must"; rules across keys are sentences of their own. */
function customMessage(where: string, message: string, actual: unknown, path: Path): string {
  return message.startsWith('must')
    ? `${where} ${message}, not ${show(actual, path)}`
    : `${where}: ${message}`;
}

function expectsScalar(issue: core.$ZodIssue): boolean {
  if (issue.code === 'invalid_value' || issue.code === 'invalid_union') return true;
  return issue.code === 'invalid_type' && ['string', 'number', 'int', 'boolean'].includes(issue.expected);
}

const kinds: Record<string, string> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  array: 'a list',
  object: 'a mapping (key: value)',
  record: 'a mapping (key: value)',
};

function expected(issue: core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return range(issue.path) ?? kinds[issue.expected] ?? issue.expected;
    case 'invalid_union':
      return 'text';
    case 'invalid_value':
      return `one of ${issue.values.map(String).join(', ')}`;
    default:
      return range(issue.path) ?? issue.message;
  }
}

/** `a whole number from 0 to 65535`, where a number is meant. */
function range(path: Path): string | undefined {
  const { type, minimum, maximum } = schemaAt(path) ?? {};
  if (type !== 'number' && type !== 'integer') return undefined;
  const kind = type === 'integer' ? 'a whole number' : 'a number';
  const bounded = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER;
  if (minimum !== undefined && bounded) return `${kind} from ${minimum} to ${maximum}`;
  return minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER ? `${kind} of at least ${minimum}` : kind;
}

function meantBy(issue: core.$ZodIssue, actual: unknown): string | undefined {
  if (issue.code === 'invalid_value' && typeof actual === 'string') {
    const near = suggest(actual, issue.values.map(String));
    return near && `did you mean ${near}?`;
  }
  if (issue.code !== 'invalid_type') return undefined;
  if (issue.expected === 'string') return 'put it in quotes';
  const numeric = issue.expected === 'number' || issue.expected === 'int';
  if (numeric && typeof actual === 'string' && actual.trim() !== '' && Number.isFinite(Number(actual))) {
    return 'remove the quotes';
  }
  if (issue.expected !== 'array') return undefined;
  return issue.path.at(-1) === 'command'
    ? 'write [program, argument, ...], or [sh, -c, "..."] for a shell line'
    : 'write [one, two], or one per line with "- "';
}

const MAX_SHOWN_CHARACTERS = 60;

/** A value as a message shows it. Environment and free-form settings may hold secrets and are never shown. */
export function show(value: unknown, path: Path): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (value === null || value === undefined) return 'nothing';
  if (typeof value === 'object') return 'a mapping';
  if (path.includes('env') || path.includes('config')) return 'what is there';
  const text = typeof value === 'number' ? String(value) : JSON.stringify(value);
  return text.length > MAX_SHOWN_CHARACTERS ? `${text.slice(0, MAX_SHOWN_CHARACTERS)}...` : text;
}

export function valueAt(values: unknown, path: Path): unknown {
  let value = values;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[part];
  }
  return value;
}
