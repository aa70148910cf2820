/** Finds the files an experiment names: relative to its folder, or carried by an npm package. */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder that our own dependencies are found from. */
const installFolder = dirname(fileURLToPath(import.meta.url));

const packageScheme = 'package:';

/** The absolute path, or what is wrong. The file need not exist, but its package must. */
export function locateFile(written: string, folder: string): { path: string } | { problem: string } {
  if (!written.startsWith(packageScheme)) return { path: resolve(folder, written) };
  const match = /^((?:@[^/]+\/)?[^@/][^/]*)\/(.+)$/.exec(written.slice(packageScheme.length));
  const [, name, file] = match ?? [];
  if (!name || !file)
    return { problem: `"${written}" must name a package and a file in it: package:NAME/FILE` };
  const root = findPackage(name, [folder, installFolder]);
  if (!root) {
    return {
      problem: `the package ${name} is not installed, neither for ${folder} nor with the supervisor; npm install ${name}`,
    };
  }
  return { path: join(root, file) };
}

/**
 * Looks in `node_modules` from each folder upwards, as Node does. Not `require.resolve`: a package's `exports` need
 * not list its assets.
 */
function findPackage(name: string, folders: string[]): string | undefined {
  for (const start of folders) {
    for (let folder = start; ; folder = dirname(folder)) {
      const candidate = join(folder, 'node_modules', name);
      if (existsSync(join(candidate, 'package.json'))) return candidate;
      if (dirname(folder) === folder) break;
    }
  }
  return undefined;
}

/** What keeps a file from being read; undefined when nothing does. `folders` says whether a folder will do. */
export function fileProblem(path: string, folders: 'allowed' | 'refused'): string | undefined {
  try {
    const stats = statSync(path);
    if (stats.isDirectory() && folders === 'refused') return `${path} is a folder, not a file`;
    if (stats.isFile() && stats.size === 0) return `${path} is empty`;
    accessSync(path, constants.R_OK);
    return undefined;
  } catch (error) {
    return fileErrorText(path, error as NodeJS.ErrnoException);
  }
}

export function fileErrorText(path: string, error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'ENOENT':
      return `there is no file ${path}`;
    case 'EACCES':
    case 'EPERM':
      return `${path} cannot be read: permission denied`;
    case 'EISDIR':
      return `${path} is a folder, not a file`;
    case 'ENOTDIR':
      return `there is no file ${path}: a part of the path is not a folder`;
    default:
      return `${path} cannot be read: ${error.message}`;
  }
}
