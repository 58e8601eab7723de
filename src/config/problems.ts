import { displayText, type Located } from './located.ts';
import type { Place, Problem } from './resolved.ts';

/** The parts of a problem beside place and message. */
export interface ProblemDetail {
  readonly found?: string | undefined;
  readonly expected?: string | undefined;
  readonly didYouMean?: string | undefined;
}

/** A pin and the keys that it inherits. */
interface Heir {
  readonly pin: string;
  readonly inherited: ReadonlyMap<string, Located>;
  /** Returns the inherited key without which the pin would be right. */
  readonly culprit: () => string | undefined;
}

/** An inherited key that a problem is about. */
interface InheritedKey {
  readonly name: string;
  /** All pins that inherit it. */
  readonly heirs: ReadonlySet<string>;
}

/** A problem, and the pins that have it because of a key that they inherit. */
interface Entry {
  readonly problem: Problem;
  readonly pins: Set<string>;
  readonly key: InheritedKey | undefined;
}

/** Problems by what they are about, and the pins that inherit each key by its place. */
interface Collected {
  readonly entries: Map<string, Entry>;
  readonly heirs: Map<string, Set<string>>;
}

/** Collects all problems of a configuration, so that one run reports every one. */
export class Problems {
  readonly #collected: Collected;
  readonly #heir: Heir | undefined;

  constructor(collected: Collected = { entries: new Map(), heirs: new Map() }, heir?: Heir) {
    this.#collected = collected;
    this.#heir = heir;
  }

  /**
   * The same problems: one about a key that the pin inherits, or would not have without the key that `culprit` returns, names the pin and
   * says how it undoes the key.
   */
  forPin(
    pin: string,
    inherited: ReadonlyMap<string, Located>,
    culprit = (): string | undefined => undefined,
  ): Problems {
    const { heirs } = this.#collected;
    for (const value of inherited.values()) {
      const at = originOf(value);
      heirs.set(at, (heirs.get(at) ?? new Set()).add(pin));
    }
    return new Problems(this.#collected, { pin, inherited, culprit });
  }

  error(place: Place, key: string, message: string, detail: ProblemDetail = {}): void {
    this.#add('error', place, key, message, detail);
  }

  warning(place: Place, key: string, message: string, detail: ProblemDetail = {}): void {
    this.#add('warning', place, key, message, detail);
  }

  /** Adds an error about a value, with the value. */
  invalid(located: Located, message: string, detail: ProblemDetail = {}): void {
    this.error(located.at, located.path, message, { found: displayText(located), ...detail });
  }

  /** The problems of one severity, in the order of the files. */
  of(severity: Problem['severity']): Problem[] {
    return [...this.#collected.entries.values()]
      .map(namingPins)
      .filter((problem) => problem.severity === severity)
      .sort((a, b) => (a.file === b.file ? a.line - b.line || a.column - b.column : a.file < b.file ? -1 : 1));
  }

  #add(severity: Problem['severity'], place: Place, key: string, message: string, detail: ProblemDetail): void {
    const { file, line, column } = place;
    const { found, expected, didYouMean } = detail;
    // A wrong default that many pins inherit is one problem. Values of an object have no line: their key tells them apart.
    const identity = `${severity} ${file}:${line}:${column} ${line === 0 ? key : ''} ${message}`;
    const problem = {
      severity,
      file,
      line,
      column,
      key,
      message,
      ...(found === undefined ? {} : { found }),
      ...(expected === undefined ? {} : { expected }),
      ...(didYouMean === undefined ? {} : { didYouMean }),
    };
    const inherited = this.#inheritedKey(place, key);
    const entry = this.#collected.entries.get(identity) ?? { problem, pins: new Set(), key: inherited };
    if (inherited && this.#heir) entry.pins.add(this.#heir.pin);
    this.#collected.entries.set(identity, entry);
  }

  /** The key that the pin inherits and that a problem is about. `undefined` when the pin states it itself. */
  #inheritedKey({ file }: Place, path: string): InheritedKey | undefined {
    for (const [name, value] of this.#heir?.inherited ?? []) {
      const within = path === value.path || path.startsWith(`${value.path}.`) || path.startsWith(`${value.path}[`);
      if (within && value.at.file === file) {
        return { name, heirs: this.#collected.heirs.get(originOf(value)) ?? new Set() };
      }
    }
    const culprit = this.#heir?.culprit();
    return culprit === undefined ? undefined : { name: culprit, heirs: new Set() };
  }
}

function originOf({ at: { file }, path }: Located): string {
  return `${file} ${path}`;
}

/** Most pins that a problem of an inherited key names. */
const MAX_PINS = 3;

/** Names the pins that an inherited key does not fit. A key that fits none of those that inherit it is wrong by itself. */
function namingPins({ problem, pins, key }: Entry): Problem {
  if (key === undefined || (pins.size > 1 && pins.size === key.heirs.size)) return problem;
  const names = [...pins];
  const more = names.length > MAX_PINS ? ` and ${names.length - MAX_PINS} more` : '';
  const [inherit, where] = names.length === 1 ? ['inherits', `in ${names[0]}`] : ['inherit', 'in each of them'];
  const message = `${problem.message}: ${names.slice(0, MAX_PINS).join(', ')}${more} ${inherit} ${key.name}`;
  const cure = `\`${key.name}:\` without a value ${where}, which undoes it there`;
  return { ...problem, message, expected: problem.expected === undefined ? cure : `${problem.expected}; or ${cure}` };
}
