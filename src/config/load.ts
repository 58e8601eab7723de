import { readFileSync } from 'node:fs';
import { dirname, extname, resolve } from 'node:path';
import { messageOf } from '../errors/errors.ts';
import { readGuardian, readProfileFolder, readState } from './agent-sections.ts';
import { chooseBoard, readHats } from './board-sections.ts';
import { type ConfigContext, thisMachine } from './context.ts';
import { readDevices } from './device-section.ts';
import { parseLocated } from './document.ts';
import { displayText, entriesOf, type Located } from './located.ts';
import { readBus, readWeb } from './network-sections.ts';
import { checkPin, type PinDraft } from './pin-section.ts';
import { readPorts, readServers } from './port-sections.ts';
import { Problems } from './problems.ts';
import {
  checkChannels,
  checkClaims,
  checkFollows,
  checkLines,
  checkNames,
  checkReadOn,
  reviewPorts,
} from './relations.ts';
import type { Problem, ResolvedConfig, ResolvedPort } from './resolved.ts';
import { checkContradictions, checkRulePins, symmetricInterlocks } from './rules.ts';
import { isEmpty, reportUnknownKey, sectionEntries } from './validation.ts';

export type LoadedConfig =
  | { readonly ok: true; readonly config: ResolvedConfig }
  /** Errors first, then warnings; each in the order of the file. */
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** The sections of a file. */
export const sections = [
  'node',
  'board',
  'hats',
  'bus',
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
const ACTOR_FILES = ['.ts', '.js', '.mjs'];

/**
 * Reads and checks a configuration file. Every mistake in it is reported, not only the first.
 * Rejects only when the program's own data files are damaged.
 */
export async function loadConfig(file: string, context: ConfigContext): Promise<LoadedConfig> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const problems = new Problems();
    problems.error({ file, line: 1, column: 1 }, '', `the file cannot be read: ${messageOf(error)}`);
    return { ok: false, problems: problems.of('error') };
  }
  return loadConfigText(text, file, context);
}

/** Like loadConfig, of a text; `file` is what problems name and what paths in it are relative to. */
export function loadConfigText(text: string, file: string, context: ConfigContext): LoadedConfig {
  const problems = new Problems();
  const root = parseLocated(text, file, problems);
  const config = resolveConfig(root, file, context, problems);
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
  if (root && root.node.kind !== 'section' && !isEmpty(root)) {
    problems.invalid(root, 'a configuration is a section of keys', { expected: `some of ${sections.join(', ')}` });
  }
  const entries = entriesOf(root);
  if (root) {
    for (const key of entries.keys()) {
      if (!sections.some((section) => section === key)) reportUnknownKey(root, key, problems, sections);
    }
  }
  const bare = chooseBoard(entries.get('board'), context, problems);
  const board = readHats(entries.get('hats'), bare, context, problems);
  const bus = readBus(entries.get('bus'), file, problems);
  const ports = readPorts(entries.get('ports'), context, problems);
  const own = readProfileFolder(entries.get('profiles'), file, context, problems);
  const withProfiles = own === undefined ? context : { ...context, profileFolder: own };
  const drafts: PinDraft[] = [
    ...[...sectionEntries(entries.get('pins'), problems)].map(([name, located]) => ({
      name,
      located,
      inherited: new Map(),
    })),
    ...readDevices(entries.get('devices'), ports, withProfiles, problems),
  ];
  const scope = { ports, board, context, problems };
  const pins = drafts.flatMap((draft) => checkPin(draft, scope) ?? []);
  checkNames(drafts, problems);
  checkChannels(pins, problems);
  checkLines(pins, problems);
  checkFollows(pins, drafts, problems);
  checkReadOn(pins, drafts, problems);
  checkRulePins(
    pins,
    drafts.map((draft) => draft.name),
    problems,
  );
  checkContradictions(pins, problems);
  const specs = symmetricInterlocks(pins.map(({ spec }) => spec));
  checkClaims(ports, problems);
  reviewPorts(ports, pins, problems);
  return {
    file,
    node: readNode(entries.get('node'), context, problems),
    board: board.name,
    enabledBuses: board.enabled,
    bus,
    ports: [...ports.values()].flatMap((port): ResolvedPort[] =>
      port?.options ? [{ name: port.name, driver: port.driver, options: port.options.value, mock: port.mock }] : [],
    ),
    pins: pins.map(({ spec, port, key, address, lines = [] }) => ({
      ...{ spec: specs.get(spec.name) ?? spec, port, key, address },
      ...(lines.length > 0 && { lines }),
    })),
    servers: readServers(entries.get('servers'), ports, pins, context, problems),
    actors: readActors(entries.get('actors'), file, context, problems),
    ...readWeb(entries.get('web'), file, problems),
    ...readState(entries.get('state'), file, context, problems),
    ...readGuardian(entries.get('guardian'), problems),
  };
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
    if (named === '' || !ACTOR_FILES.includes(extname(path))) {
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
