import { displayText, type Located } from './located.ts';
import type { Place, Problem } from './resolved.ts';

/** The parts of a problem beside place and message. */
export interface ProblemDetail {
  readonly found?: string | undefined;
  readonly expected?: string | undefined;
  readonly didYouMean?: string | undefined;
}

/** Collects all problems of a configuration, so that one run reports every one. */
export class Problems {
  readonly #all = new Map<string, Problem>();

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
    return [...this.#all.values()]
      .filter((problem) => problem.severity === severity)
      .sort((a, b) => (a.file === b.file ? a.line - b.line || a.column - b.column : a.file < b.file ? -1 : 1));
  }

  #add(severity: Problem['severity'], place: Place, key: string, message: string, detail: ProblemDetail): void {
    const { file, line, column } = place;
    const { found, expected, didYouMean } = detail;
    // A wrong default that many pins inherit is one problem. Values of an object have no line: their key tells them apart.
    const identity = `${severity} ${file}:${line}:${column} ${line === 0 ? key : ''} ${message}`;
    this.#all.set(identity, {
      severity,
      file,
      line,
      column,
      key,
      message,
      ...(found === undefined ? {} : { found }),
      ...(expected === undefined ? {} : { expected }),
      ...(didYouMean === undefined ? {} : { didYouMean }),
    });
  }
}
