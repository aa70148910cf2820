/** Where in the YAML text a value stands. */
import { isAlias, isMap, isScalar, isSeq, type Document, type LineCounter, type Node, type Pair } from 'yaml';

export type Path = readonly PropertyKey[];

/** Both from 1, as editors count. */
export interface Place {
  line: number;
  col: number;
}

interface Found {
  key: Node | null;
  value: Node | null;
}

/** The node at a path, aliases and merge keys followed; undefined when the text has none there. */
export function findNode(document: Document, path: Path): Found | undefined {
  let found: Found = { key: null, value: document.contents };
  for (const part of path) {
    const container = dereference(found.value, document);
    const next = isMap(container)
      ? pairOf(container.items, String(part), document)
      : isSeq(container) && typeof part === 'number'
        ? itemOf(container.items[part])
        : undefined;
    if (!next) return undefined;
    found = next;
  }
  return found;
}

/** The place of the value at `path`; of its key where it has no value; of what should hold it where it is missing. */
export function placeOf(document: Document, lines: LineCounter, path: Path, target: 'key' | 'value'): Place {
  for (let length = path.length; length >= 0; length--) {
    const found = findNode(document, path.slice(0, length));
    if (!found) continue;
    const empty = isScalar(found.value) && found.value.value === null;
    const wantsKey = (target === 'key' && length === path.length) || empty || !found.value;
    const node = (wantsKey ? found.key : found.value) ?? found.value;
    return node?.range ? placeAt(lines, node.range[0]) : { line: 1, col: 1 };
  }
  return { line: 1, col: 1 };
}

export function placeAt(lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), col: Math.max(1, col) };
}

export function dereference(node: Node | null, document: Document): Node | null {
  return isAlias(node) ? (node.resolve(document) ?? null) : node;
}

function pairOf(items: Pair[], key: string, document: Document): Found | undefined {
  // Of two equal keys the last one counts, as in the values.
  for (const pair of items.toReversed()) {
    if (isScalar(pair.key) && String(pair.key.value) === key)
      return { key: pair.key, value: pair.value as Node | null };
  }
  for (const pair of items) {
    if (!isScalar(pair.key) || pair.key.value !== '<<') continue;
    const merged = dereference(pair.value as Node | null, document);
    const sources = isSeq(merged)
      ? merged.items.map((item) => dereference(item as Node, document))
      : [merged];
    for (const source of sources) {
      const found = isMap(source) ? pairOf(source.items, key, document) : undefined;
      if (found) return found;
    }
  }
  return undefined;
}

function itemOf(item: unknown): Found | undefined {
  return item === undefined ? undefined : { key: null, value: item as Node };
}
