/** The receipt of the latest stop. */
import { readFileSync } from 'node:fs';
import type { Receipt } from '../process/receipt.js';
import type { StateDir } from './directory.js';
import { writeDurable } from './durable.js';

/** False when it could not be written, e.g. to a full disk: a stop never fails for want of its receipt. */
export async function writeReceipt(dir: StateDir, receipt: Receipt): Promise<boolean> {
  try {
    await writeDurable(dir.receiptFile, `${JSON.stringify(receipt, null, 2)}\n`);
    return true;
  } catch {
    return false;
  }
}

export function readReceipt(dir: StateDir): Receipt | undefined {
  try {
    return JSON.parse(readFileSync(dir.receiptFile, 'utf8')) as Receipt;
  } catch {
    return undefined;
  }
}
