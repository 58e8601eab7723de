import type { IncomingMessage } from 'node:http';
import { DcsError, messageOf } from '../../errors/errors.ts';

const MAX_BODY = 64 * 1024;

/** The JSON of a request. Rejects with BAD_COMMAND when it is none, is too long, or is not called JSON. */
export async function jsonBody(request: IncomingMessage): Promise<unknown> {
  // A form of another site can send text, but not this type without being asked for leave.
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) {
    throw new DcsError('BAD_COMMAND', 'the body must be JSON', { expected: 'content-type: application/json' });
  }
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    const bytes = Buffer.from(chunk);
    length += bytes.length;
    if (length > MAX_BODY) throw new DcsError('BAD_COMMAND', `the body is longer than ${MAX_BODY} bytes`);
    chunks.push(bytes);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (error) {
    throw new DcsError('BAD_COMMAND', `the body is not JSON: ${messageOf(error)}`, { cause: error });
  }
}
