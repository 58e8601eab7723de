import type { z } from 'zod';
import { DcsError } from '../errors/errors.ts';

/** What the process ends with; scripts depend on it. */
export const exitCodes = { done: 0, failed: 1, wrongUse: 2, noAnswer: 3 } as const;
/** The same for people. */
export const exitMeanings: readonly (readonly [ExitCode, string])[] = [
  [exitCodes.done, 'done'],
  [exitCodes.failed, 'refused or failed'],
  [exitCodes.wrongUse, 'wrong use or wrong configuration'],
  [exitCodes.noAnswer, 'no answer in time'],
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

/** The exit code a failure of the bus or of a pin ends a command with. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CliError) return error.exitCode;
  if (error instanceof DcsError && error.code === 'TIMEOUT') return exitCodes.noAnswer;
  if (error instanceof DcsError && error.code === 'BAD_CONFIG') return exitCodes.wrongUse;
  return exitCodes.failed;
}

/** What to try after a failure, where that can be told from it. */
export function hintFor(error: unknown): string | undefined {
  if (error instanceof CliError) return error.hint;
  if (!(error instanceof DcsError)) return undefined;
  if (error.code === 'TIMEOUT' && error.message.startsWith('no agent')) {
    return "'dcs-io doctor' looks for what is wrong; --bus HOST:RX:TX names another machine's bus";
  }
  if (error.code === 'NO_PERMISSION') return "'dcs-io doctor' says which group gives access";
  if (error.code === 'BUSY') return "'dcs-io doctor' says who holds it";
  return error.expected === undefined ? undefined : `expected ${error.expected}`;
}

/** What is wrong, with the option it is about. */
export function formatZodError(error: z.ZodError): string {
  return error.issues
    .map((issue) => {
      const name = issue.path.length > 0 ? `--${issue.path.join('.')}: ` : '';
      return `${name}${issue.code === 'invalid_value' ? `one of ${issue.values.join(', ')}` : issue.message}`;
    })
    .join('; ');
}
