import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { DcsError } from '../../errors/errors.ts';
import type { Visitor } from '../auth/gatekeeper.ts';
import type { Role } from '../options.ts';

export type Method = 'GET' | 'PUT' | 'POST' | 'DELETE';

/** What a route answers with. `stream`: the route writes to the response itself, for as long as it likes. */
export type Answer =
  | { readonly status: number; readonly json: unknown; readonly headers?: Readonly<Record<string, string>> }
  | { readonly status: number; readonly text: string; readonly type: string }
  | { readonly status: 204; readonly headers?: Readonly<Record<string, string>> }
  | { readonly stream: (response: ServerResponse) => void };

/** What the OpenAPI document says of one answer. */
export interface Described {
  readonly description: string;
  /** Of the JSON body. */
  readonly schema?: z.ZodType;
  /** Of a body that is not JSON. */
  readonly type?: string;
}

export interface ApiRequest<Body, Query> {
  readonly request: IncomingMessage;
  /** Undefined only where a route is for anyone. */
  readonly visitor: Visitor | undefined;
  /** The named part of the path, `{name}`, decoded. */
  readonly name: string;
  readonly body: Body;
  readonly query: Query;
}

export interface RouteSpec<Body, Query> {
  readonly method: Method;
  /** `/api/pins/{name}`: at most one part has a name. */
  readonly path: string;
  readonly summary: string;
  /** Who may. */
  readonly needs: Role | 'anyone';
  readonly body?: z.ZodType<Body>;
  /** Of the query's values, each a list: a name may be given more than once. */
  readonly query?: z.ZodType<Query>;
  readonly answers: Readonly<Record<number, Described>>;
  handle(request: ApiRequest<Body, Query>): Answer | Promise<Answer>;
}

/** A route whose body and query have been made opaque: what is raw goes in. */
export interface Route {
  readonly method: Method;
  readonly path: string;
  readonly summary: string;
  readonly needs: Role | 'anyone';
  readonly body: z.ZodType | undefined;
  readonly query: z.ZodType | undefined;
  readonly answers: Readonly<Record<number, Described>>;
  /** Rejects with BAD_COMMAND when body or query are wrong. */
  handle(request: ApiRequest<unknown, unknown>): Promise<Answer>;
}

/** A route with its input checked by its schemas; without a schema nothing of it is looked at. */
export function route<Body = undefined, Query = undefined>(spec: RouteSpec<Body, Query>): Route {
  const { method, path, summary, needs, body, query, answers } = spec;
  return {
    method,
    path,
    summary,
    needs,
    body,
    query,
    answers,
    handle: async ({ request, visitor, name, body: rawBody, query: rawQuery }) =>
      spec.handle({
        request,
        visitor,
        name,
        body: checked(body, rawBody, 'the body'),
        query: checked(query, rawQuery, 'the query'),
      }),
  };
}

function checked<T>(schema: z.ZodType<T> | undefined, found: unknown, what: string): T {
  // Without a schema T is undefined: nobody asked for it.
  const result = (schema ?? z.custom<T>(() => true)).safeParse(schema ? found : undefined);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const at = issue?.path.join('.') ?? '';
  throw new DcsError('BAD_COMMAND', `${what}: ${at === '' ? '' : `${at}: `}${issue?.message ?? 'is wrong'}`, { found });
}

/** The route of a request and the named part of its path; `others`: the path is known, with these methods. */
export function findRoute(
  routes: readonly Route[],
  method: string,
  path: string,
): { readonly route: Route; readonly name: string } | { readonly others: readonly Method[] } {
  const parts = path.split('/');
  const others: Method[] = [];
  for (const one of routes) {
    const name = match(one.path.split('/'), parts);
    if (name === undefined) continue;
    if (one.method === method || (one.method === 'GET' && method === 'HEAD')) return { route: one, name };
    others.push(one.method);
  }
  return { others };
}

function match(pattern: readonly string[], parts: readonly string[]): string | undefined {
  if (pattern.length !== parts.length) return undefined;
  let name = '';
  for (const [at, wanted] of pattern.entries()) {
    const part = parts[at] ?? '';
    if (wanted.startsWith('{') && part !== '') name = decoded(part);
    else if (wanted !== part) return undefined;
  }
  return name;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    throw new DcsError('BAD_COMMAND', `${part} is not percent-encoded text`, { cause: error });
  }
}
