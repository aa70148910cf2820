/** Where things stand in the checkout; this file is built to `test/dist/harness`. */
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
export const bin = join(root, 'bin/supervisor');
export const fixtures = join(root, 'test/fixtures');
