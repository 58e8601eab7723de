import { displayText, type Located } from './located.ts';
import type { Place, Problem } from './resolved.ts';

/** What a problem says beside its place. */
export interface ProblemDetail {
  readonly found?: string | undefined;
  readonly expected?: string | undefined;
  readonly didYouMean?: string | undefined;
}

/** Collects everything that is wrong with a configuration, so that one run tells all of it. */
export class Problems {
  readonly #all = new Map<string, Problem>();

  error(place: Place, key: string, message: string, detail: ProblemDetail = {}): void {
    this.#add('error', place, key, message, detail);
  }

  warning(place: Place, key: string, message: string, detail: ProblemDetail = {}): void {
    this.#add('warning', place, key, message, detail);
  }

  /** An error about a value, which is shown. */
  invalid(located: Located, message: string, detail: ProblemDetail = {}): void {
    this.error(located.at, located.path, message, { found: displayText(located), ...detail });
  }

  /** All of one severity, in the order of the files. */
  of(severity: Problem['severity']): Problem[] {
    return [...this.#all.values()]
      .filter((problem) => problem.severity === severity)
      .sort((a, b) => (a.file === b.file ? a.line - b.line || a.column - b.column : a.file < b.file ? -1 : 1));
  }

  #add(severity: Problem['severity'], place: Place, key: string, message: string, detail: ProblemDetail): void {
    const { file, line, column } = place;
    const { found, expected, didYouMean } = detail;
    // A default that many pins inherit is wrong once, not once a pin.
    const identity = `${severity} ${file}:${line}:${column} ${message}`;
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
