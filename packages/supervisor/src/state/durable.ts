/** Files that are either there whole or not at all. */
import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Writes beside the target and renames over it, so that readers see the old text or the new one, also when we are killed
 * in between. Mode 0600. For what a reboot makes meaningless, such as whose pid is whose: a power cut may take it.
 */
export async function writeWhole(path: string, text: string): Promise<void> {
  await replace(path, text, { flush: false });
}

/** The same for what is to be there after a power cut too. */
export async function writeDurable(path: string, text: string): Promise<void> {
  await replace(path, text, { flush: true });
  await syncFolder(dirname(path));
}

async function replace(path: string, text: string, { flush }: { flush: boolean }): Promise<void> {
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(text);
      if (flush) await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
