/** The JSON Schema of the experiment file, for editors. */
import { experimentTree } from './known-keys.js';

/** Formatted as the repository formats JSON, with a final newline. */
export function experimentJsonSchema(): string {
  const { $schema, ...schema } = experimentTree() as Record<string, unknown>;
  return `${layOut({ $schema, title: 'Experiment of the supervisor', ...schema }, '', 0)}\n`;
}

const LINE_CHARACTERS = 110;

/** Objects one key per line, lists on one line where they fit. `taken`: characters that stand before on the line. */
function layOut(value: unknown, indent: string, taken: number): string {
  const deeper = `${indent}  `;
  if (Array.isArray(value)) {
    const flat = flatten(value);
    if (flat !== undefined && taken + flat.length + 1 <= LINE_CHARACTERS) return flat;
    const lines = value.map((item) => `${deeper}${layOut(item, deeper, deeper.length)}`);
    return `[\n${lines.join(',\n')}\n${indent}]`;
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const lines = Object.entries(value).map(([key, item]) => {
    const start = `${deeper}${JSON.stringify(key)}: `;
    return `${start}${layOut(item, deeper, start.length)}`;
  });
  return lines.length === 0 ? '{}' : `{\n${lines.join(',\n')}\n${indent}}`;
}

/** On one line; undefined where an object in it takes lines of its own. */
function flatten(value: unknown): string | undefined {
  if (!Array.isArray(value))
    return typeof value === 'object' && value !== null ? undefined : JSON.stringify(value);
  const items = value.map(flatten);
  return items.includes(undefined) ? undefined : `[${items.join(', ')}]`;
}
