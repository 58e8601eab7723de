import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { DcsError, type ErrorCode, toDcsError } from '../../errors/errors.ts';
import type { ApiError } from '../api/schemas.ts';
import { HttpError } from '../auth/authenticator.ts';
import type { ApiResponse } from './route.ts';

/** Security headers of every response. No HSTS: it would apply to every other port of the machine, too. */
export const securityHeaders = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=()',
} as const;

/** Content-Security-Policy of API responses, which are never pages. */
const API_CSP = "default-src 'none'; frame-ancestors 'none'";

/** The HTTP status of each error code. */
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
  NOT_TAKEN: 502,
  BAD_REPLY: 502,
  BAD_SOURCE: 503,
  RULE: 409,
  OVERRIDDEN: 409,
  SAFE_STATE: 409,
  FAILED: 503,
  STOPPED: 503,
  INTERNAL: 500,
};

export function sendResponse(response: ServerResponse, answer: ApiResponse): void {
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
    'content-security-policy': API_CSP,
    'cache-control': 'no-store',
    ...('headers' in answer && answer.headers),
    ...(type !== undefined && { 'content-type': type }),
    ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }),
  });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

/** Returns the response for an error: the message of the error and the status of its code. */
export function errorResponse(thrown: unknown): ApiResponse {
  const error = thrown instanceof DcsError ? thrown : toDcsError(thrown, 'INTERNAL');
  const { code, retryable, expected } = error;
  const status = error instanceof HttpError ? error.status : statusOf[code];
  // The details of an internal error go to the log only.
  const message = code === 'INTERNAL' ? 'something went wrong in the agent; its log says what' : error.message;
  const json: ApiError = { code, message, retryable, ...(expected !== undefined && { expected }) };
  const wait = error instanceof HttpError ? error.retryAfter : undefined;
  const headers = {
    ...(wait !== undefined && { 'retry-after': String(wait) }),
    // The rest of the body stays unread.
    ...(status === 413 && { connection: 'close' }),
  };
  return { status, json, headers };
}

/** Content-Security-Policy of the page: scripts and styles come from the server's own files; no other page may frame it. */
const PAGE_CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
};

interface StaticFile {
  readonly type: string;
  readonly etag: string;
  readonly body: Buffer;
  readonly gzip: Buffer;
  /** The name contains a hash of the content. */
  readonly immutable: boolean;
}

/** The files of the built page, read into memory at the first request. A path is a key of this map, never a file name. */
export class StaticFiles {
  #files: Map<string, StaticFile> | undefined;

  /** Serves a file of the page; returns `false` when there is none at this path. */
  serve(path: string, request: IncomingMessage, response: ServerResponse): boolean {
    this.#files ??= readStaticFiles();
    const file = this.#files.get(path === '/' ? '/index.html' : path);
    if (!file) return false;
    const headers = {
      ...securityHeaders,
      'content-security-policy': PAGE_CSP,
      'cache-control': file.immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
      etag: file.etag,
      vary: 'accept-encoding',
    };
    if (request.headers['if-none-match'] === file.etag) {
      response.writeHead(304, headers).end();
      return true;
    }
    const compressed = /\bgzip\b/.test(request.headers['accept-encoding']?.toString() ?? '');
    const body = compressed ? file.gzip : file.body;
    response.writeHead(200, {
      ...headers,
      'content-type': file.type,
      'content-length': body.length,
      ...(compressed && { 'content-encoding': 'gzip' }),
    });
    response.end(request.method === 'HEAD' ? undefined : body);
    return true;
  }
}

function readStaticFiles(): Map<string, StaticFile> {
  const folder = staticFolder();
  const files = new Map<string, StaticFile>();
  if (folder === undefined) return files;
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const type = CONTENT_TYPES[extname(name)];
    if (type === undefined) continue;
    const body = readFileSync(join(folder, name));
    const path = `/${relative(folder, join(folder, name)).split(sep).join('/')}`;
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
    files.set(path, { type, etag, body, gzip: gzipSync(body), immutable: path.startsWith('/assets/') });
  }
  return files;
}

/** Returns dist/web, both in the built package and in the sources; `undefined` when the page is not built. */
function staticFolder(): string | undefined {
  return ['../../../web', '../../../dist/web']
    .map((up) => fileURLToPath(new URL(up, import.meta.url)))
    .find((folder) => existsSync(join(folder, 'index.html')));
}
