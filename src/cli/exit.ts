import type { z } from 'zod';
import { DcsError } from '../errors/errors.ts';

/** Exit codes of the process; scripts depend on them. */
export const exitCodes = { done: 0, failed: 1, wrongUse: 2, noAnswer: 3 } as const;
/** The meaning of each exit code, for the manual page and the reference. */
export const exitMeanings: readonly (readonly [ExitCode, string])[] = [
  [exitCodes.done, 'done'],
  [exitCodes.failed, 'refused or failed'],
  [exitCodes.wrongUse, 'wrong use or wrong configuration'],
  [exitCodes.noAnswer, 'no answer in time: whether a command took effect is unknown'],
];
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Ends a command with a message for a person and an exit code. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: ExitCode;
  /** The next step to try. */
  readonly hint: string | undefined;

  constructor(exitCode: ExitCode, message: string, hint?: string) {
    super(message);
    this.exitCode = exitCode;
    this.hint = hint;
  }
}

/** The exit code for an error. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CliError) return error.exitCode;
  if (error instanceof DcsError && error.code === 'TIMEOUT') return exitCodes.noAnswer;
  if (error instanceof DcsError && error.code === 'BAD_CONFIG') return exitCodes.wrongUse;
  return exitCodes.failed;
}

/** The next step to try after an error; `undefined` when the error does not tell. */
export function hintFor(error: unknown): string | undefined {
  if (error instanceof CliError) return error.hint;
  if (!(error instanceof DcsError)) return undefined;
  if (error.code === 'TIMEOUT' && error.message.startsWith('no agent')) {
    return "'dcs-io doctor' finds the cause; --bus HOST:RX:TX names another machine's bus";
  }
  if (error.code === 'NO_PERMISSION' && error.expected === undefined)
    return "'dcs-io doctor' says which group gives access";
  if (error.code === 'BUSY') return "'dcs-io doctor' says who holds it";
  return error.expected === undefined ? undefined : `expected ${error.expected}`;
}

/** The issues of a Zod error, each with the option it is about. */
export function formatZodError(error: z.ZodError): string {
  return error.issues
    .map((issue) => {
      const name = issue.path.length > 0 ? `--${issue.path.join('.')}: ` : '';
      return `${name}${issue.code === 'invalid_value' ? `one of ${issue.values.join(', ')}` : issue.message}`;
    })
    .join('; ');
}
