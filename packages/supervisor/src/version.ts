/** The product's version, from the package's own package.json. */
import { readFileSync } from 'node:fs';

export function productVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}
