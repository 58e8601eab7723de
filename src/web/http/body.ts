import type { IncomingMessage } from 'node:http';
import { DcsError, messageOf } from '../../errors/errors.ts';
import { Refusal } from '../auth/gatekeeper.ts';

const MAX_BODY = 64 * 1024;

/** The JSON of a request. Rejects with BAD_COMMAND when it is none or is not called JSON, with a Refusal when it is too long. */
export async function jsonBody(request: IncomingMessage): Promise<unknown> {
  // A form of another site can send text, but not this type without being asked for leave.
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) {
    throw new DcsError('BAD_COMMAND', 'the body must be JSON', { expected: 'content-type: application/json' });
  }
  try {
    return JSON.parse(await text(request));
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new DcsError('BAD_COMMAND', `the body is not JSON: ${messageOf(error)}`, { cause: error });
  }
}

/** Leaves the rest of one that is too long unread: the answer is sent all the same, and ends the connection. */
function text(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const tooLong = () => reject(new Refusal(413, `the body is longer than ${MAX_BODY} bytes`));
    if (Number(request.headers['content-length']) > MAX_BODY) {
      tooLong();
      return;
    }
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= MAX_BODY) chunks.push(chunk);
      else {
        request.pause();
        tooLong();
      }
    });
    request.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    request.once('error', reject);
    request.once('close', () => reject(new DcsError('BAD_COMMAND', 'the request broke off')));
  });
}
