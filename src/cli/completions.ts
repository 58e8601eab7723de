import type { Argument, Command, Option } from 'commander';
import { subcommands } from './command-tree.ts';

/** A word that could stand there, and what it is. */
export interface Candidate {
  readonly word: string;
  readonly about: string;
}

/** What cannot be told from the command line alone. */
export type Source = 'files' | 'folders' | 'pins' | 'board' | 'profiles';

export interface Completions {
  readonly words: readonly Candidate[];
  readonly from: Source | undefined;
  /** Options that stand on the line already, by their long name without dashes. */
  readonly given: ReadonlyMap<string, string>;
}

/** What the name of a value says about where it comes from. */
const sources: Readonly<Record<string, Source>> = {
  file: 'files',
  port: 'files',
  bus: 'files',
  folder: 'folders',
  path: 'folders',
  pin: 'pins',
  pattern: 'pins',
  board: 'board',
  profile: 'profiles',
};

/** What can stand in the place of the last word. */
export function completions(cli: Command, words: readonly string[]): Completions {
  const last = words.at(-1) ?? '';
  const given = new Map<string, string>();
  let command = cli;
  let position = 0;
  let literal = false;
  let waiting: Option | undefined;
  for (const word of words.slice(0, -1)) {
    const below = subcommands(command).find((one) => one.name() === word);
    if (waiting) {
      given.set(waiting.attributeName(), word);
      waiting = undefined;
    } else if (literal) position++;
    else if (word === '--') literal = true;
    else if (word.startsWith('-')) waiting = valuedOption(command, word);
    else if (below && position === 0) command = below;
    else position++;
  }
  const found = waiting ? expected(waiting) : operands(command, position, literal || !last.startsWith('-'));
  return { words: found.words.filter(({ word }) => word.startsWith(last)), from: found.from, given };
}

type Found = Pick<Completions, 'words' | 'from'>;

function operands(command: Command, position: number, plain: boolean): Found {
  if (!plain) return { words: command.createHelp().visibleOptions(command).map(optionWord), from: undefined };
  const below = position === 0 ? subcommands(command) : [];
  if (below.length > 0) {
    return { words: below.map((one) => ({ word: one.name(), about: one.description() })), from: undefined };
  }
  const args = command.registeredArguments;
  const final = args.at(-1);
  const argument = args[position] ?? (final?.variadic ? final : undefined);
  return argument ? expected(argument) : { words: [], from: undefined };
}

function expected(place: Option | Argument): Found {
  if (place.argChoices) return { words: place.argChoices.map((word) => ({ word, about: '' })), from: undefined };
  const name = 'flags' in place ? /[<[]([a-z]+)/.exec(place.flags)?.[1] : place.name();
  return { words: [], from: sources[name ?? ''] };
}

function optionWord(option: Option): Candidate {
  return { word: option.long ?? option.short ?? '', about: option.description };
}

function valuedOption(command: Command, word: string): Option | undefined {
  const option = command.options.find(({ long, short }) => long === word || short === word);
  return option && (option.required || option.optional) ? option : undefined;
}
