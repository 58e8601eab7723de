import type { IncomingMessage, ServerResponse } from 'node:http';
import { DcsError } from '../../errors/errors.ts';
import { type Gatekeeper, Refusal } from '../auth/gatekeeper.ts';
import { originKind } from '../auth/origin.ts';
import { allows, type WebHost, type WebOptions } from '../options.ts';
import { jsonBody } from './body.ts';
import { PageFiles } from './page-files.ts';
import { refuse, send } from './respond.ts';
import { findRoute, type Route } from './route.ts';

/** Answers HTTP requests: who is it, may they, and which route or file is it. */
export class Dispatch {
  /** Requests by the first digit of their status: `2xx`. */
  readonly answered = new Map<string, number>();
  readonly #routes: readonly Route[];
  readonly #keeper: Gatekeeper;
  readonly #options: WebOptions;
  readonly #log: WebHost['log'];
  readonly #page = new PageFiles();

  constructor(routes: readonly Route[], keeper: Gatekeeper, options: WebOptions, log: WebHost['log']) {
    this.#routes = routes;
    this.#keeper = keeper;
    this.#options = options;
    this.#log = log;
  }

  /** Never rejects. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.once('close', () => {
      const group = `${Math.floor(response.statusCode / 100)}xx`;
      this.answered.set(group, (this.answered.get(group) ?? 0) + 1);
    });
    try {
      await this.#answer(request, response);
    } catch (error) {
      if (!(error instanceof DcsError) || error.code === 'INTERNAL') {
        this.#log.error({ err: error, url: request.url }, 'web: a request failed');
      }
      send(response, refuse(error));
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = targetOf(request);
    this.#keeper.checkOrigin(request);
    this.#letIn(request, response);
    if (request.method === 'OPTIONS') {
      send(response, { status: 204 });
      return;
    }
    const found = findRoute(this.#routes, request.method ?? '', pathname);
    if ('others' in found) {
      const reading = request.method === 'GET' || request.method === 'HEAD';
      if (found.others.length === 0 && reading && this.#page.serve(pathname, request, response)) return;
      send(response, strangePath(pathname, found.others));
      return;
    }
    const { route, name } = found;
    const visitor = route.needs === 'anyone' ? undefined : this.#keeper.visitor(request);
    if (route.needs !== 'anyone') {
      if (!visitor) throw new Refusal(401, 'log in first, or give a token: authorization: Bearer …');
      if (!allows(visitor.role, route.needs)) {
        const why = `${visitor.name} may ${visitor.role}; this needs ${route.needs}`;
        this.#log.warn({ security: 'refused', user: visitor.name, path: route.path }, `web: refused ${why}`);
        throw new Refusal(403, why);
      }
      this.#keeper.checkCsrf(request, visitor);
    }
    const body = route.body ? await jsonBody(request) : undefined;
    const query = Object.fromEntries([...new Set(searchParams.keys())].map((key) => [key, searchParams.getAll(key)]));
    send(response, await route.handle({ request, visitor, name, body, query }));
  }

  /** Scripts of pages the configuration lists may read what comes back. */
  #letIn({ headers }: IncomingMessage, response: ServerResponse): void {
    const { origins, tls } = this.#options;
    if (originKind(headers.origin, headers.host, origins, tls !== undefined) !== 'listed') return;
    response.setHeader('access-control-allow-origin', headers.origin ?? '');
    response.setHeader('vary', 'origin');
    response.setHeader('access-control-allow-methods', 'GET, PUT, POST, DELETE');
    response.setHeader('access-control-allow-headers', 'authorization, content-type');
    response.setHeader('access-control-max-age', '600');
  }
}

function targetOf({ url }: IncomingMessage): URL {
  const target = `http://agent${url ?? '/'}`;
  if (url?.startsWith('/') && URL.canParse(target)) return new URL(target);
  throw new DcsError('BAD_COMMAND', 'the request names no path');
}

function strangePath(path: string, others: readonly string[]) {
  if (others.length > 0) {
    const message = `${path} takes ${others.join(', ')}`;
    const json = { code: 'BAD_COMMAND', message, retryable: false };
    return { status: 405, json, headers: { allow: others.join(', ') } };
  }
  const message = `there is nothing at ${path}; /api/openapi.json tells what there is`;
  return { status: 404, json: { code: 'NO_SUCH_CHANNEL', message, retryable: false } };
}
