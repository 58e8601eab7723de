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
  /** Where its facts are from. */
  readonly source: string;
  readonly file: string;
  /** Keys that the port of such a device needs, as the user writes them there. Undefined: none beyond the usual. */
  readonly port: string | undefined;
}

/** The profiles for devices of a driver: the user's own, which go before, and those shipped with the program. */
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

/** Files of profiles by name, in the order of their names. */
export function profileFiles(driver: string, own: string | undefined, data: string): Map<string, string> {
  const folders = [join(data, driver), ...(own === undefined ? [] : [join(own, driver)])];
  const files = new Map(
    folders.flatMap((folder) => namesIn(folder).map((name) => [name, join(folder, `${name}.yaml`)] as const)),
  );
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The parts of a profile. What is wrong with it goes to `problems`, with its place in the file. */
export function readEntries(file: string, problems: Problems): ReadonlyMap<string, Located> {
  return entriesOf(parseLocated(readFileSync(file, 'utf8'), file, problems));
}

function namesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return (
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.yaml'))
      .map((file) => file.slice(0, -'.yaml'.length).replaceAll('\\', '/'))
      // Every profile has a maker; other data of a kind of hardware lies beside their folders.
      .filter((name) => name.includes('/'))
  );
}
