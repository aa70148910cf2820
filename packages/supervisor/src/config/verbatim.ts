/**
 * Values that are text whatever they look like: environment variables and arguments. YAML would turn `1.10` into 1.1
 * and `0x10` into 16, so where a number or boolean stands unquoted its source text is what counts.
 */
import { isMap, isScalar, isSeq, type Document, type Node } from 'yaml';
import { dereference, findNode, type Path } from './place.js';

/** True for a variable below `env` and for an item of `command`. */
export function takenAsWritten(path: Path): boolean {
  const parent = path.at(-2);
  const below =
    (path[0] === 'processes' && path.length === 4) || (path[1] === 'instances' && path.length === 5);
  return below && (parent === 'env' || parent === 'command');
}

/** Replaces such values in `values`, the plain form of `document`, by what was written. */
export function keepAsWritten(document: Document, values: unknown): void {
  const lists: [Path, unknown][] = [
    [
      ['model_pool', 'instances'],
      (values as { model_pool?: { instances?: unknown } | null }).model_pool?.instances,
    ],
    [['processes'], (values as { processes?: unknown }).processes],
  ];
  for (const [path, list] of lists) {
    if (!Array.isArray(list)) continue;
    list.forEach((item: unknown, index) => {
      if (typeof item !== 'object' || item === null) return;
      for (const key of ['env', 'command'])
        restore((item as Record<string, unknown>)[key], [...path, index, key], document);
    });
  }
}

function restore(held: unknown, path: Path, document: Document): void {
  if (typeof held !== 'object' || held === null) return;
  const node = dereference(findNode(document, path)?.value ?? null, document);
  if (!isMap(node) && !isSeq(node)) return;
  for (const [key, value] of Object.entries(held)) {
    if (typeof value !== 'number' && typeof value !== 'boolean' && typeof value !== 'bigint') continue;
    const found = findNode(document, [...path, Array.isArray(held) ? Number(key) : key]);
    const written = sourceOf(dereference(found?.value ?? null, document));
    if (written !== undefined) (held as Record<string, unknown>)[key] = written;
  }
}

function sourceOf(node: Node | null): string | undefined {
  return isScalar(node) ? node.source : undefined;
}
