import type { ServerResponse } from 'node:http';
import { DcsError, type ErrorCode, toDcsError } from '../../errors/errors.ts';
import type { ApiError } from '../api/schemas.ts';
import { Refusal } from '../auth/gatekeeper.ts';
import type { Answer } from './route.ts';

/** What every answer says to a browser. No HSTS: it would bind every other port of the machine, too. */
export const securityHeaders = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=()',
} as const;

/** An answer of the API is never a page. */
const NO_PAGE = "default-src 'none'; frame-ancestors 'none'";

/** The HTTP status each code stands for. */
export const statusOf: Readonly<Record<ErrorCode, number>> = {
  BAD_CONFIG: 500,
  BAD_COMMAND: 400,
  BAD_VALUE: 422,
  OUT_OF_RANGE: 422,
  READ_ONLY: 409,
  NOT_SUPPORTED: 422,
  EXPIRED: 409,
  NO_SUCH_PIN: 404,
  NO_SUCH_CHANNEL: 404,
  BUSY: 503,
  NO_PERMISSION: 403,
  PORT_DOWN: 503,
  PORT_SKIPPED: 503,
  NO_DEVICE: 503,
  TIMEOUT: 504,
  DEVICE_REFUSED: 502,
  BAD_REPLY: 502,
  RULE: 409,
  OVERRIDDEN: 409,
  SAFE_STATE: 409,
  FAILED: 503,
  STOPPED: 503,
  INTERNAL: 500,
};

export function send(response: ServerResponse, answer: Answer): void {
  if (response.headersSent) return;
  if ('stream' in answer) {
    if (response.req.method === 'HEAD') response.writeHead(200, securityHeaders).end();
    else answer.stream(response);
    return;
  }
  const body = 'json' in answer ? JSON.stringify(answer.json) : 'text' in answer ? answer.text : undefined;
  const type = 'json' in answer ? 'application/json' : 'text' in answer ? answer.type : undefined;
  response.writeHead(answer.status, {
    ...securityHeaders,
    'content-security-policy': NO_PAGE,
    'cache-control': 'no-store',
    ...('headers' in answer && answer.headers),
    ...(type !== undefined && { 'content-type': type }),
    ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }),
  });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

/** Says why not, in the words of the error and with the status its code stands for. */
export function refuse(thrown: unknown): Answer {
  const error = thrown instanceof DcsError ? thrown : toDcsError(thrown, 'INTERNAL');
  const { code, retryable, expected } = error;
  const status = error instanceof Refusal ? error.status : statusOf[code];
  // What went wrong inside is for the log.
  const message = code === 'INTERNAL' ? 'something went wrong in the agent; its log says what' : error.message;
  const json: ApiError = { code, message, retryable, ...(expected !== undefined && { expected }) };
  const wait = error instanceof Refusal ? error.retryAfter : undefined;
  const headers = {
    ...(wait !== undefined && { 'retry-after': String(wait) }),
    // The rest of its body is not read any more.
    ...(status === 413 && { connection: 'close' }),
  };
  return { status, json, headers };
}
