/** Reads an experiment file: YAML, `--set` overrides, the schema, and the files it names. All mistakes at once. */
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import {
  isMap,
  isScalar,
  LineCounter,
  parseDocument,
  visit,
  type Document,
  type ParsedNode,
  type Scalar,
  type YAMLError,
} from 'yaml';
import { ConfigError, type ConfigProblem } from './config-error.js';
import { crossCheck, formatPath } from './cross-check.js';
import { experimentSchema, type Experiment } from './experiment.js';
import { explain, explainRule, type Finding } from './explain.js';
import { fileErrorText, fileProblem, locateFile } from './model-file.js';
import { NAME_PATTERN, NAME_RULE } from './name.js';
import { applyOverride, OverrideError, type Override } from './overrides.js';
import { findNode, placeAt, placeOf, type Path } from './place.js';
import { keepAsWritten } from './verbatim.js';

/**
 * The experiment with defaults filled in and the paths of files absolute.
 *
 * @param path of the file, as the user named it; messages repeat it so
 * @param sets `a.b.c=value` each, applied in order
 * @throws ConfigError with every problem found
 */
export function loadExperiment(path: string, sets: readonly string[] = []): Experiment {
  const source = parse(path, readText(path));
  const overrides: Override[] = [];
  const problems: ConfigProblem[] = duplicateKeys(source);
  for (const set of sets) {
    try {
      overrides.push(applyOverride(source.values, set));
    } catch (error) {
      if (!(error instanceof OverrideError)) throw error;
      problems.push({ file: error.flag, line: 0, col: 0, message: error.message });
    }
  }
  const report = (finding: Finding) => problems.push(placed(finding, source, overrides));

  // Reported actual values must be those that were written, and parsing leaves `values` as they are.
  const result = experimentSchema.safeParse(source.values);
  for (const issue of result.error?.issues ?? []) explain(issue, source.values).forEach(report);
  // The schema keeps its rules across keys until each key is right by itself; people want to know both at once.
  if (!result.success)
    crossCheck(source.values, { addIssue: (rule) => explainRule(rule, source.values).forEach(report) });
  // The files that are named are looked for even where the rest is wrong, so that all mistakes are told at once.
  resolvePaths(result.data ?? source.values, dirname(resolve(path)), report);
  if (!result.success || problems.length > 0) throw new ConfigError(ordered(problems));
  return result.data;
}

/** The name alone, for commands that must find an experiment whose file may not be valid any more. */
export function readExperimentName(path: string): string {
  const { document, lines, values } = parse(path, readText(path));
  const { name } = values;
  if (typeof name === 'string' && NAME_PATTERN.test(name)) return name;
  const message = name === undefined ? 'name is missing' : `name ${NAME_RULE}`;
  throw new ConfigError([{ file: path, ...placeOf(document, lines, ['name'], 'value'), message }]);
}

interface Source {
  file: string;
  document: Document.Parsed;
  lines: LineCounter;
  values: Record<string, unknown>;
}

/** Larger than any experiment by far, smaller than a model given by mistake. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;

function readText(path: string): string {
  const refuse = (message: string, cause?: unknown) =>
    new ConfigError([{ file: path, line: 0, col: 0, message }], { cause });
  let bytes: Buffer;
  try {
    const { size } = statSync(path);
    if (size > MAX_FILE_BYTES)
      throw refuse(`is ${Math.round(size / 1024 / 1024)} MiB large, which no experiment file is`);
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw refuse(fileErrorText(resolve(path), error as NodeJS.ErrnoException), error);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw refuse('is not UTF-8 text, so it cannot be an experiment file', error);
  }
}

function parse(file: string, text: string): Source {
  const lines = new LineCounter();
  // Duplicate keys are found by `duplicateKeys`, which names both places.
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    merge: true,
  });
  const fail = (problems: ConfigProblem[]) => new ConfigError(ordered(problems));
  const failures: YAMLError[] = [...document.errors, ...document.warnings];
  if (failures.length > 0) {
    throw fail(
      failures.map(({ pos, message }) => ({
        file,
        ...placeAt(lines, pos[0]),
        message: `not valid YAML: ${message}`,
      })),
    );
  }
  const { contents } = document;
  const at = { file, ...(contents ? placeAt(lines, contents.range[0]) : { line: 1, col: 1 }) };
  const example = 'an experiment begins with name: and holds model_pool: or processes:';
  if (!contents || (isScalar(contents) && contents.value === null)) {
    throw fail([{ ...at, line: 1, col: 1, message: `the file is empty; ${example}` }]);
  }
  if (!isMap(contents)) {
    throw fail([
      {
        ...at,
        message: `the file is not a mapping (key: value) but ${isScalar(contents) ? 'plain text' : 'a list'}; ${example}`,
      },
    ]);
  }
  try {
    const values = unshared(document.toJS()) as Record<string, unknown>;
    keepAsWritten(document, values);
    return { file, document, lines, values };
  } catch (error) {
    // Aliases that expand without end.
    throw fail([{ ...at, message: `not valid YAML: ${(error as Error).message}` }]);
  }
}

/** Aliases make several keys share one object; an override of one must not change the others. */
function unshared(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unshared);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unshared(item)]));
}

function duplicateKeys({ file, document, lines }: Source): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  visit(document, {
    Map: (_, map) => {
      const first = new Map<string, ParsedNode>();
      for (const { key } of map.items) {
        if (!isScalar(key) || key.value === '<<') continue;
        const name = String(key.value);
        const earlier = first.get(name);
        if (!earlier) {
          first.set(name, key as Scalar.Parsed);
          continue;
        }
        const { line } = placeAt(lines, earlier.range[0]);
        const place = placeAt(lines, (key as Scalar.Parsed).range[0]);
        problems.push({
          file,
          ...place,
          message: `the key "${name}" stands here a second time, first on line ${line}; keep one`,
        });
      }
    },
  });
  return problems;
}

/** Gives a finding its place: the flag that set the value, or the line and column in the file. */
function placed({ path, target, message }: Finding, source: Source, overrides: Override[]): ConfigProblem {
  const inFile = findNode(source.document, path) !== undefined;
  const override = overrides.findLast((set) => covers(set.path, path) || (!inFile && covers(path, set.path)));
  if (override) return { file: override.flag, line: 0, col: 0, message };
  return { file: source.file, ...placeOf(source.document, source.lines, path, target), message };
}

function covers(outer: Path, inner: Path): boolean {
  return (
    outer.length > 0 && outer.length <= inner.length && outer.every((part, index) => part === inner[index])
  );
}

/** The parts of an experiment that name files; anything may be of another type where the file is wrong. */
interface Paths {
  model_pool?: { instances?: { path?: string; command?: unknown }[] };
  processes?: { cwd?: string }[];
  experiment?: { inputs?: { files?: Record<string, string> } };
}

function resolvePaths(values: Paths, folder: string, report: (finding: Finding) => void): void {
  const fileAt = (written: string, path: Path, folders: 'allowed' | 'refused'): string => {
    const located = locateFile(written, folder);
    const problem = 'problem' in located ? located.problem : fileProblem(located.path, folders);
    if (problem !== undefined) report({ path, target: 'value', message: `${formatPath(path)}: ${problem}` });
    return 'path' in located ? located.path : written;
  };
  for (const [index, instance] of items(values.model_pool?.instances)) {
    if (!isText(instance.path)) continue;
    // A worker of one's own may take a folder of files; ONNX Runtime takes a file.
    const folders = instance.command === undefined ? 'refused' : 'allowed';
    instance.path = fileAt(instance.path, ['model_pool', 'instances', index, 'path'], folders);
  }
  for (const [, definition] of items(values.processes)) {
    if (isText(definition.cwd)) definition.cwd = resolve(folder, definition.cwd);
  }
  const files = values.experiment?.inputs?.files;
  if (typeof files !== 'object' || files === null) return;
  for (const [name, file] of Object.entries(files)) {
    if (isText(file)) files[name] = fileAt(file, ['experiment', 'inputs', 'files', name], 'refused');
  }
}

function items<T extends object>(list: T[] | undefined): [number, T][] {
  if (!Array.isArray(list)) return [];
  return [...list.entries()].filter(([, item]) => typeof item === 'object' && item !== null);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

/** In the order of the file, what the flags did last, and nothing twice. */
function ordered(problems: ConfigProblem[]): ConfigProblem[] {
  const unique = new Map(problems.map((problem) => [JSON.stringify(problem), problem]));
  return [...unique.values()].sort(
    (a, b) => Number(a.line === 0) - Number(b.line === 0) || a.line - b.line || a.col - b.col,
  );
}
