import { errorCodes } from '../../src/errors/errors.ts';
import { statusOf } from '../../src/web/http/response.ts';
import { code, prose, table } from './markdown.ts';

/** All error codes of the bus and of the HTTP API. */
export function errorsPage(): string[] {
  return [
    'The `code` of an `IoErrorMessage`, of a refusal over HTTP and of a log line. Programs branch on the code; the message is for people.',
    table(
      ['code', 'meaning', 'a retry may succeed', 'HTTP status'],
      Object.entries(errorCodes).map(([name, { means, retryable }]) => [
        code(name),
        prose(means),
        retryable ? 'yes' : '',
        String(new Map<string, number>(Object.entries(statusOf)).get(name) ?? ''),
      ]),
    ),
  ];
}
