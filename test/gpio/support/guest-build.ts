import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

/** Below node_modules, so that what is compiled there finds its packages. */
const CACHE = 'node_modules/.cache/dcs-io-guest/';

/** Compiles everything as a package is, for processes of their own in the guest. Types are checked elsewhere. */
export async function buildForGuest(): Promise<string> {
  await mkdir(CACHE, { recursive: true });
  const folder = resolve(await mkdtemp(CACHE));
  const options = ['-p', 'tsconfig.json', '--noEmit', 'false', '--declaration', 'false', '--outDir', folder];
  await promisify(execFile)('node_modules/.bin/tsc', options).catch(() => {});
  await copyFile('package.json', join(folder, 'package.json'));
  await symlink(resolve('boards'), join(folder, 'boards'));
  return folder;
}
