import type { IncomingMessage, ServerResponse } from 'node:http';
import { DcsError, messageOf } from '../../errors/errors.ts';
import { type Authenticator, HttpError, originKind } from '../auth/authenticator.ts';
import { roleIncludes, type WebHost, type WebOptions } from '../options.ts';
import { errorResponse, StaticFiles, sendResponse } from './response.ts';
import { findRoute, type Route } from './route.ts';

/** Handles HTTP requests: checks origin and user, then calls the route or serves the static file. */
export class HttpRouter {
  /** Requests by status class: `2xx`, `4xx`, … */
  readonly statusCounts = new Map<string, number>();
  readonly #routes: readonly Route[];
  readonly #auth: Authenticator;
  readonly #options: WebOptions;
  readonly #log: WebHost['log'];
  readonly #staticFiles = new StaticFiles();

  constructor(routes: readonly Route[], auth: Authenticator, options: WebOptions, log: WebHost['log']) {
    this.#routes = routes;
    this.#auth = auth;
    this.#options = options;
    this.#log = log;
  }

  /** Never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.once('close', () => {
      const group = `${Math.floor(response.statusCode / 100)}xx`;
      this.statusCounts.set(group, (this.statusCounts.get(group) ?? 0) + 1);
    });
    try {
      await this.#route(request, response);
    } catch (error) {
      if (!(error instanceof DcsError) || error.code === 'INTERNAL') {
        this.#log.error({ err: error, url: request.url }, 'web: a request failed');
      }
      sendResponse(response, errorResponse(error));
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = requestUrl(request);
    this.#auth.checkOrigin(request);
    this.#setCorsHeaders(request, response);
    if (request.method === 'OPTIONS') {
      sendResponse(response, { status: 204 });
      return;
    }
    const found = findRoute(this.#routes, request.method ?? '', pathname);
    if ('otherMethods' in found) {
      const reading = request.method === 'GET' || request.method === 'HEAD';
      if (found.otherMethods.length === 0 && reading && this.#staticFiles.serve(pathname, request, response)) return;
      sendResponse(response, noRoute(pathname, found.otherMethods));
      return;
    }
    const { route, name } = found;
    const identity = route.needs === 'anyone' ? undefined : this.#auth.identify(request);
    if (route.needs !== 'anyone') {
      if (!identity) throw new HttpError(401, 'log in first, or give a token: authorization: Bearer …');
      if (!roleIncludes(identity.role, route.needs)) {
        const why = `${identity.name} may ${identity.role}; this needs ${route.needs}`;
        this.#log.warn({ security: 'refused', user: identity.name, path: route.path }, `web: refused ${why}`);
        throw new HttpError(403, why);
      }
      this.#auth.checkCsrf(request, identity);
    }
    const body = route.body ? await readJsonBody(request) : undefined;
    const query = Object.fromEntries([...new Set(searchParams.keys())].map((key) => [key, searchParams.getAll(key)]));
    sendResponse(response, await route.handle({ request, identity, name, body, query }));
  }

  /** Sets the CORS headers for an origin that the configuration lists. */
  #setCorsHeaders({ headers }: IncomingMessage, response: ServerResponse): void {
    const { origins, tls } = this.#options;
    if (originKind(headers.origin, headers.host, origins, tls !== undefined) !== 'listed') return;
    response.setHeader('access-control-allow-origin', headers.origin ?? '');
    response.setHeader('vary', 'origin');
    response.setHeader('access-control-allow-methods', 'GET, PUT, POST, DELETE');
    response.setHeader('access-control-allow-headers', 'authorization, content-type');
    response.setHeader('access-control-max-age', '600');
  }
}

function requestUrl({ url }: IncomingMessage): URL {
  const target = `http://agent${url ?? '/'}`;
  if (url?.startsWith('/') && URL.canParse(target)) return new URL(target);
  throw new DcsError('BAD_COMMAND', 'the request names no path');
}

function noRoute(path: string, otherMethods: readonly string[]) {
  if (otherMethods.length > 0) {
    const message = `${path} takes ${otherMethods.join(', ')}`;
    const json = { code: 'BAD_COMMAND', message, retryable: false };
    return { status: 405, json, headers: { allow: otherMethods.join(', ') } };
  }
  const message = `there is nothing at ${path}; /api/openapi.json tells what there is`;
  return { status: 404, json: { code: 'NO_SUCH_CHANNEL', message, retryable: false } };
}

const MAX_BODY_BYTES = 64 * 1024;

/** Reads the JSON body. Rejects with BAD_COMMAND when it is not JSON by its type or syntax, with HttpError 413 when too long. */
async function readJsonBody(request: IncomingMessage): Promise<unknown> {
  // Without a CORS preflight, a page of another site can send text or a form, but not this content type.
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) {
    throw new DcsError('BAD_COMMAND', 'the body must be JSON', { expected: 'content-type: application/json' });
  }
  try {
    return JSON.parse(await readBody(request));
  } catch (error) {
    if (error instanceof HttpError) throw error;
    throw new DcsError('BAD_COMMAND', `the body is not JSON: ${messageOf(error)}`, { cause: error });
  }
}

/** Leaves the rest of a too long body unread: the response is sent all the same and closes the connection. */
function readBody(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const tooLong = () => reject(new HttpError(413, `the body is longer than ${MAX_BODY_BYTES} bytes`));
    if (Number(request.headers['content-length']) > MAX_BODY_BYTES) {
      tooLong();
      return;
    }
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= MAX_BODY_BYTES) chunks.push(chunk);
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
