import { errorCodes } from '../../src/errors/errors.ts';
import { statusOf } from '../../src/web/http/response.ts';
import { code, prose, table } from './markdown.ts';

/** Every error code, as it travels on the bus and over HTTP. */
export function errorsPage(): string[] {
  return [
    'The `code` of an `IoErrorMessage`, of a refusal over HTTP, and what the log says. A program branches on it; the message is for people.',
    table(
      ['code', 'means', 'may succeed later', 'HTTP'],
      Object.entries(errorCodes).map(([name, { means, retryable }]) => [
        code(name),
        prose(means),
        retryable ? 'yes' : '',
        String(new Map<string, number>(Object.entries(statusOf)).get(name) ?? ''),
      ]),
    ),
  ];
}
