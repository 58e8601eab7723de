import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { dataFolder } from '../board/load-board.ts';
import { parseLocated } from './document.ts';
import { entriesOf, type Located, textOf, toPlain } from './located.ts';
import { Problems } from './problems.ts';

/** The register map of a kind of device. */
export interface Profile {
  /** `<maker>/<model>`. */
  readonly name: string;
  readonly driver: string;
  readonly title: string;
  /** The source of its data: a manual. */
  readonly source: string;
  readonly file: string;
  /** Keys that the port of such a device needs, as text for `ports:`. `undefined` when it needs no special ones. */
  readonly port: string | undefined;
}

/** The profiles for devices of a driver: the user's own ones, and those of this package that have no such name. */
export function findProfiles(driver: string, own: string | undefined, data: string = dataFolder()): Profile[] {
  const files = profileFiles(driver, own, data);
  return [...files].map(([name, file]) => {
    const entries = readEntries(file, new Problems());
    const port = entries.get('port');
    return {
      name,
      driver,
      title: textOf(entries.get('title')) ?? '',
      source: textOf(entries.get('source')) ?? '',
      file,
      port: port && stringify(toPlain(port), { collectionStyle: 'flow', lineWidth: 0 }).trim(),
    };
  });
}

/** Files of profiles by name, sorted by name. */
export function profileFiles(driver: string, own: string | undefined, data: string): Map<string, string> {
  const folders = [join(data, driver), ...(own === undefined ? [] : [join(own, driver)])];
  const files = new Map(
    folders.flatMap((folder) => namesIn(folder).map((name) => [name, join(folder, `${name}.yaml`)] as const)),
  );
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The parts of a profile. Reports its mistakes with their places in its file. */
export function readEntries(file: string, problems: Problems): ReadonlyMap<string, Located> {
  return entriesOf(parseLocated(readFileSync(file, 'utf8'), file, problems));
}

function namesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return (
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.yaml'))
      .map((file) => file.slice(0, -'.yaml'.length).replaceAll('\\', '/'))
      // A profile lies in the folder of its maker; files beside those folders are other data.
      .filter((name) => name.includes('/'))
  );
}
