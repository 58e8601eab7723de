import { Argument, type Command, type Option } from 'commander';
import { messageOf } from '../../errors/errors.ts';
import { type CliCommand, subcommands, valuedOption } from '../command-tree.ts';
import type { ClientOptions } from '../options.ts';
import { printLine, printNote } from '../output.ts';

/** Adds `completion`, which prints the script of a shell. */
export function addCompletion(cli: CliCommand): void {
  cli
    .command('completion')
    .description('print a script with which a shell completes commands, options and pin names')
    .addArgument(new Argument('<shell>').choices(Object.keys(scripts)))
    .examples('dcs-io completion bash > /etc/bash_completion.d/dcs-io', 'dcs-io completion fish | source')
    .action((shell: string) => printLine(scripts[shell] ?? ''));
}

/** Adds the hidden `complete`: the scripts call it with the words typed so far, of which the last is to be completed. */
export function addComplete(cli: CliCommand): void {
  cli
    .command('complete', { hidden: true })
    .argument('[words...]')
    .action((words: readonly string[]) => complete(cli, words));
}

/**
 * The scripts contain no command names: at every Tab they ask `dcs-io complete`, which prints a line for each word
 * (`word<Tab>description`), or `:files` or `:folders` for a path. So a script never gets older than the program.
 */
const scripts: Readonly<Record<string, string>> = {
  bash: `# dcs-io: completion for bash
_dcs_io() {
  local line=\${COMP_LINE:0:COMP_POINT} word rest
  local -a words
  # Not COMP_WORDS: it cuts at every colon, and so through HOST:RX:TX.
  read -ra words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  local current=\${words[\${#words[@]} - 1]}
  COMPREPLY=()
  while IFS=$'\\t' read -r word rest; do
    case $word in
      :files) compopt -o filenames; mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$current") ;;
      :folders) compopt -o filenames; mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$current") ;;
      *) COMPREPLY+=("$word") ;;
    esac
  done < <(dcs-io complete -- "\${words[@]:1}" 2> /dev/null)
}
complete -F _dcs_io dcs-io`,
  zsh: `#compdef dcs-io
# dcs-io: completion for zsh
_dcs_io() {
  local line word
  local -a found
  for line in "\${(@f)$(dcs-io complete -- "\${(@)words[2,CURRENT]}" 2> /dev/null)}"; do
    word=\${line%%$'\\t'*}
    case $word in
      :files) _files ;;
      :folders) _files -/ ;;
      ?*) found+=("\${word//:/\\\\:}:\${line#*$'\\t'}") ;;
    esac
  done
  (( $#found )) && _describe dcs-io found
}
if [[ $funcstack[1] == _dcs_io ]]; then _dcs_io "$@"; else compdef _dcs_io dcs-io; fi`,
  fish: `# dcs-io: completion for fish
function __dcs_io_complete
    set -l words (commandline -opc)
    set -l current "$(commandline -ct)"
    for line in (dcs-io complete -- $words[2..] $current 2> /dev/null)
        switch $line
            case ':files*'
                __fish_complete_path $current
            case ':folders*'
                __fish_complete_directories $current
            case '*'
                echo $line
        end
    end
end
complete -c dcs-io -f -a '(__dcs_io_complete)'`,
};

/** A word that can stand in the place to complete. */
interface Candidate {
  readonly word: string;
  readonly about: string;
}

/** Sources of words that the command line's definition does not list. */
type Source = 'files' | 'folders' | 'pins' | 'board' | 'profiles';

interface Completions {
  readonly words: readonly Candidate[];
  readonly from: Source | undefined;
  /** Values of options earlier on the line, by the option's attribute name. */
  readonly given: ReadonlyMap<string, string>;
}

/** The source of a value, by the name that the definition gives the value: `<file>`, `<pin>`. */
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

/** A place on the command line. */
interface Cursor {
  command: Command;
  /** Operands of `command` before this place. */
  position: number;
  /** `--` came before: every word is an operand. */
  literal: boolean;
  /** The option whose value has to stand here. */
  awaiting: Option | undefined;
  readonly given: Map<string, string>;
}

/** The words that can complete the last one, and the source of further ones. */
export function completions(cli: CliCommand, words: readonly string[]): Completions {
  const last = words.at(-1) ?? '';
  const cursor: Cursor = { command: cli, position: 0, literal: false, awaiting: undefined, given: new Map() };
  for (const word of words.slice(0, -1)) advance(cursor, word);
  const { awaiting, given } = cursor;
  const found = awaiting ? valuesOf(awaiting) : wordsAt(cursor, last);
  return { words: found.words.filter(({ word }) => word.startsWith(last)), from: found.from, given };
}

function advance(cursor: Cursor, word: string): void {
  if (cursor.awaiting) {
    cursor.given.set(cursor.awaiting.attributeName(), word);
    cursor.awaiting = undefined;
  } else if (cursor.literal) cursor.position++;
  else if (word === '--') cursor.literal = true;
  else if (word.startsWith('-')) cursor.awaiting = valuedOption(cursor.command, word);
  else {
    const below = cursor.position === 0 && subcommands(cursor.command).find((one) => one.name() === word);
    if (below) cursor.command = below;
    else cursor.position++;
  }
}

type Found = Pick<Completions, 'words' | 'from'>;

function wordsAt({ command, position, literal }: Cursor, last: string): Found {
  if (!literal && last.startsWith('-')) {
    const options = command.createHelp().visibleOptions(command);
    const words = options.map(({ long, short, description }) => ({ word: long ?? short ?? '', about: description }));
    return { words, from: undefined };
  }
  const below = position === 0 ? subcommands(command) : [];
  if (below.length > 0) {
    return { words: below.map((one) => ({ word: one.name(), about: one.description() })), from: undefined };
  }
  const args = command.registeredArguments;
  const final = args.at(-1);
  const argument = args[position] ?? (final?.variadic ? final : undefined);
  return argument ? valuesOf(argument) : { words: [], from: undefined };
}

function valuesOf(place: Option | Argument): Found {
  if (place.argChoices) return { words: place.argChoices.map((word) => ({ word, about: '' })), from: undefined };
  const name = 'flags' in place ? /[<[]([a-z]+)/.exec(place.flags)?.[1] : place.name();
  return { words: [], from: sources[name ?? ''] };
}

/** A Tab waits this long (ms) for an agent. */
const AGENT_MS = 500;

async function complete(cli: CliCommand, words: readonly string[]): Promise<void> {
  const { words: found, from, given } = completions(cli, words);
  for (const one of found) print(one);
  if (from === 'files' || from === 'folders') printLine(`:${from}`);
  else if (from !== undefined) {
    const last = words.at(-1) ?? '';
    for (const one of await load(from, given)) if (one.word.startsWith(last)) print(one);
  }
}

function print({ word, about }: Candidate): void {
  printLine(`${word}\t${about.replaceAll(/\s+/g, ' ')}`);
}

async function load(source: Source, given: ReadonlyMap<string, string>): Promise<Candidate[]> {
  if (source === 'board') {
    const { listBoards } = await import('../../board/load-board.ts');
    return listBoards().map((word) => ({ word, about: '' }));
  }
  if (source === 'profiles') {
    const { allProfiles } = await import('../profile-pins.ts');
    return allProfiles(given.get('folder')).map(({ name, title }) => ({ word: name, about: title }));
  }
  const [bus, config] = [given.get('bus'), given.get('config')];
  const options = { timeout: AGENT_MS, ...(bus !== undefined && { bus }), ...(config !== undefined && { config }) };
  return (await pinsOnBus(options)) ?? pinsInFile(config);
}

/** The pins of the first agent that answers; `undefined` when none answers in time. */
async function pinsOnBus(options: ClientOptions): Promise<Candidate[] | undefined> {
  const { pinsOf, withClient } = await import('../bus-client.ts');
  const ask = withClient(
    options,
    (client) =>
      new Promise<Candidate[] | undefined>((resolve) => {
        setTimeout(() => resolve(undefined), AGENT_MS).unref();
        client.bus.on('NodeMessage', (data) =>
          resolve(pinsOf(data).map(({ name, label }) => ({ word: name, about: label }))),
        );
        client.bus.send({ UpdateIoMessage: {} });
      }),
  );
  return ask.catch(explain);
}

async function pinsInFile(file: string | undefined): Promise<Candidate[]> {
  const { readConfig } = await import('../config-file.ts');
  const config = await readConfig(file).catch(explain);
  return (config?.pins ?? []).map(({ spec }) => ({ word: spec.name, about: spec.label ?? '' }));
}

/** Writes an error to stderr: a shell hides it while it completes, a person who runs this by hand sees it. */
function explain(error: unknown): undefined {
  printNote(messageOf(error));
}
