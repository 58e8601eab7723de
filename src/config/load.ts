import { readFileSync } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';
import type { Driver } from '../driver/contract.ts';
import { messageOf } from '../errors/errors.ts';
import { readBus, readGuardian, readProfileFolder, readState, readWeb } from './agent-sections.ts';
import { chooseBoard, readHats } from './board-sections.ts';
import { checkPins } from './computed-section.ts';
import { type ConfigContext, thisMachine } from './context.ts';
import { readDevices } from './device-section.ts';
import { locateObject, parseLocated } from './document.ts';
import { loadDrivers } from './drivers-section.ts';
import { displayText, entriesOf, isEmpty, type Located } from './located.ts';
import type { PinDraft } from './pin-section.ts';
import { readPorts, readServers } from './port-sections.ts';
import { Problems } from './problems.ts';
import { checkRelations } from './relations.ts';
import type { Problem, ResolvedConfig, ResolvedPort } from './resolved.ts';
import { checkRules, completeRules } from './rules.ts';
import { reportUnknownKey, sectionEntries } from './validation.ts';

export type LoadedConfig =
  | { readonly ok: true; readonly config: ResolvedConfig }
  /** Errors first, then warnings; each in the order of the file. */
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** A configuration as a plain object, with the keys of a configuration file. */
export type ConfigObject = Readonly<Record<string, unknown>>;

/** The sections of a configuration. */
const SECTIONS = [
  'node',
  'board',
  'hats',
  'bus',
  'drivers',
  'ports',
  'profiles',
  'devices',
  'pins',
  'servers',
  'web',
  'actors',
  'state',
  'guardian',
] as const;
const ACTOR_EXTENSIONS = ['.ts', '.js', '.mjs'];

/**
 * Reads and checks a configuration: a file, or an object with the same keys, whose relative paths start at `folder`
 * (default: the working directory). Reports every mistake, not only the first. Rejects only when data files of this package
 * are damaged.
 */
export async function loadConfig(
  source: string | ConfigObject,
  context: ConfigContext,
  folder = process.cwd(),
): Promise<LoadedConfig> {
  const problems = new Problems();
  const { root, file } = locate(source, folder, problems);
  const { drivers, failures } = await loadDrivers(entriesOf(root).get('drivers'), file, context, problems);
  const all = { ...context, drivers: [...context.drivers, ...drivers], driverFailures: failures };
  return resultOf(resolveConfig(root, file, all, problems), problems);
}

/** The drivers that a configuration loads. Leaves out those that cannot be loaded. */
export async function readDrivers(
  source: string | ConfigObject,
  context: ConfigContext,
  folder = process.cwd(),
): Promise<readonly Driver[]> {
  const problems = new Problems();
  const { root, file } = locate(source, folder, problems);
  return (await loadDrivers(entriesOf(root).get('drivers'), file, context, problems)).drivers;
}

/**
 * Reads and checks a text. Problems name `file`, and relative paths start at its folder. Loads no drivers that the text
 * names.
 */
export function loadConfigText(text: string, file: string, context: ConfigContext): LoadedConfig {
  const problems = new Problems();
  return resultOf(resolveConfig(parseLocated(text, file, problems), file, context, problems), problems);
}

function locate(
  source: string | ConfigObject,
  folder: string,
  problems: Problems,
): { root: Located | undefined; file: string } {
  if (typeof source === 'string') return { root: readLocated(source, problems), file: source };
  const file = join(folder, '(object)');
  return { root: locateObject(source, file, problems), file };
}

function readLocated(file: string, problems: Problems): Located | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    problems.error({ file, line: 1, column: 1 }, '', `the file cannot be read: ${messageOf(error)}`);
    return undefined;
  }
  return parseLocated(text, file, problems);
}

function resultOf(config: Omit<ResolvedConfig, 'warnings'>, problems: Problems): LoadedConfig {
  const errors = problems.of('error');
  const warnings = problems.of('warning');
  return errors.length === 0
    ? { ok: true, config: { ...config, warnings } }
    : { ok: false, problems: [...errors, ...warnings] };
}

function resolveConfig(
  root: Located | undefined,
  file: string,
  context: ConfigContext,
  problems: Problems,
): Omit<ResolvedConfig, 'warnings'> {
  if (root) checkSections(root, problems);
  const entries = entriesOf(root);
  const bare = chooseBoard(entries.get('board'), context, problems);
  const board = readHats(entries.get('hats'), bare, context, problems);
  const bus = readBus(entries.get('bus'), file, problems);
  const ports = readPorts(entries.get('ports'), context, problems);
  const profileFolder = readProfileFolder(entries.get('profiles'), file, context, problems);
  const withProfiles = profileFolder === undefined ? context : { ...context, profileFolder };
  const drafts: PinDraft[] = [
    ...[...sectionEntries(entries.get('pins'), problems)].map(([name, located]) => ({
      name,
      located,
      inherited: new Map(),
    })),
    ...readDevices(entries.get('devices'), ports, withProfiles, problems),
  ];
  const scope = { ports, board, context, problems };
  const pins = checkPins(drafts, scope);
  const names = drafts.map((draft) => draft.name);
  const specs = completeRules(pins);
  checkRelations(pins, specs, drafts, ports, problems);
  checkRules(pins, specs, names, problems);
  return {
    file,
    node: readNode(entries.get('node'), context, problems),
    board: board.name,
    enabledBuses: board.enabled,
    bus,
    ports: [...ports.values()].flatMap((port): ResolvedPort[] =>
      port?.options ? [{ name: port.name, driver: port.driver, options: port.options.value, mock: port.mock }] : [],
    ),
    pins: pins.map(({ spec, port, key, address, lines = [], computed }) => ({
      ...{ spec: specs.get(spec.name) ?? spec, port, key, address },
      ...(lines.length > 0 && { lines }),
      ...(computed && { computed }),
    })),
    servers: readServers(entries.get('servers'), ports, pins, context, problems),
    actors: readActors(entries.get('actors'), file, context, problems),
    ...readWeb(entries.get('web'), file, problems),
    ...readState(entries.get('state'), file, context, problems),
    ...readGuardian(entries.get('guardian'), problems),
  };
}

function checkSections(root: Located, problems: Problems): void {
  if (root.node.kind !== 'section' && !isEmpty(root)) {
    problems.invalid(root, 'a configuration is a section of keys', { expected: `some of ${SECTIONS.join(', ')}` });
  }
  for (const key of entriesOf(root).keys()) {
    if (!SECTIONS.some((section) => section === key)) reportUnknownKey(root, key, problems, SECTIONS);
  }
}

function readNode(located: Located | undefined, context: ConfigContext, problems: Problems): string {
  const fallback = (context.machine ?? thisMachine).hostname();
  if (located === undefined || isEmpty(located)) return fallback;
  if (located.node.kind === 'scalar' && String(located.node.value).trim() !== '') return String(located.node.value);
  problems.invalid(located, 'node is the name of this agent on the bus', { expected: 'text' });
  return fallback;
}

function readActors(located: Located | undefined, file: string, context: ConfigContext, problems: Problems): string[] {
  if (located === undefined || isEmpty(located)) return [];
  if (located.node.kind !== 'list') {
    problems.invalid(located, 'actors is a list of files', { expected: '[./my-plant.ts]' });
    return [];
  }
  const machine = context.machine ?? thisMachine;
  return located.node.items.flatMap((item) => {
    const named = item.node.kind === 'scalar' ? String(item.node.value ?? '') : '';
    const path = resolve(dirname(file), named);
    if (named === '' || !ACTOR_EXTENSIONS.includes(extname(path))) {
      problems.invalid(item, 'an actor is a TypeScript or JavaScript file', {
        expected: 'a path that ends in .ts, .js or .mjs',
      });
    } else if (!machine.exists(path)) {
      problems.invalid(item, `there is no file ${displayText(item)}`, {
        expected: `an existing file; looked for ${path}`,
      });
    } else return [path];
    return [];
  });
}
