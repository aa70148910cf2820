/** A message as JSON that any language can read: the protocol's own names, tensor data in hexadecimal. */
import type { GoldenCase } from './cases.js';

export function describe({ from, message }: GoldenCase): string {
  const json = JSON.stringify(
    { from, message },
    (_key, value: unknown) =>
      value instanceof Uint8Array ? { hex: Buffer.from(value).toString('hex') } : value,
    2,
  );
  // Short lists on one line, as the formatter has them.
  const compact = json.replaceAll(
    /\[\n([^[\]{}]*)\n *\]/g,
    (_all, items: string) => `[${items.trim().replaceAll(/\n */g, ' ')}]`,
  );
  return `${compact}\n`;
}

export function undescribe(json: string): Omit<GoldenCase, 'name'> {
  return JSON.parse(json, (_key, value: unknown) => {
    const hex = typeof value === 'object' && value !== null && 'hex' in value ? value.hex : undefined;
    return typeof hex === 'string' ? Uint8Array.from(Buffer.from(hex, 'hex')) : value;
  }) as Omit<GoldenCase, 'name'>;
}
