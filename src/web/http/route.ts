import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { DcsError } from '../../errors/errors.ts';
import type { Identity } from '../auth/authenticator.ts';
import type { Role } from '../options.ts';

export type Method = 'GET' | 'PUT' | 'POST' | 'DELETE';

/** What a route answers with. `stream`: the route writes to the response itself, for as long as it likes. */
export type ApiResponse =
  | { readonly status: number; readonly json: unknown; readonly headers?: Readonly<Record<string, string>> }
  | { readonly status: number; readonly text: string; readonly type: string }
  | { readonly status: 204; readonly headers?: Readonly<Record<string, string>> }
  | { readonly stream: (response: ServerResponse) => void };

/** What the OpenAPI document says of one answer. */
export interface ResponseDoc {
  readonly description: string;
  /** Of the JSON body. */
  readonly schema?: z.ZodType;
  /** Of a body that is not JSON. */
  readonly type?: string;
}

export interface ApiRequest<Body, Query> {
  readonly request: IncomingMessage;
  /** Undefined only where a route is for anyone. */
  readonly identity: Identity | undefined;
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
  readonly responses: Readonly<Record<number, ResponseDoc>>;
  handle(request: ApiRequest<Body, Query>): ApiResponse | Promise<ApiResponse>;
}

/** A route whose body and query have been made opaque: what is raw goes in. */
export interface Route {
  readonly method: Method;
  readonly path: string;
  readonly summary: string;
  readonly needs: Role | 'anyone';
  readonly body: z.ZodType | undefined;
  readonly query: z.ZodType | undefined;
  readonly responses: Readonly<Record<number, ResponseDoc>>;
  /** Rejects with BAD_COMMAND when body or query are wrong. */
  handle(request: ApiRequest<unknown, unknown>): Promise<ApiResponse>;
}

/** A route with its input checked by its schemas; without a schema nothing of it is looked at. */
export function route<Body = undefined, Query = undefined>(spec: RouteSpec<Body, Query>): Route {
  const { method, path, summary, needs, body, query, responses: answers } = spec;
  return {
    method,
    path,
    summary,
    needs,
    body,
    query,
    responses: answers,
    handle: async ({ request, identity, name, body: rawBody, query: rawQuery }) =>
      spec.handle({
        request,
        identity,
        name,
        body: validated(body, rawBody, 'the body'),
        query: validated(query, rawQuery, 'the query'),
      }),
  };
}

function validated<T>(schema: z.ZodType<T> | undefined, found: unknown, what: string): T {
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
): { readonly route: Route; readonly name: string } | { readonly otherMethods: readonly Method[] } {
  const parts = path.split('/');
  const otherMethods: Method[] = [];
  for (const one of routes) {
    const name = matchPath(one.path.split('/'), parts);
    if (name === undefined) continue;
    if (one.method === method || (one.method === 'GET' && method === 'HEAD')) return { route: one, name };
    otherMethods.push(one.method);
  }
  return { otherMethods };
}

function matchPath(pattern: readonly string[], parts: readonly string[]): string | undefined {
  if (pattern.length !== parts.length) return undefined;
  let name = '';
  for (const [at, wanted] of pattern.entries()) {
    const part = parts[at] ?? '';
    if (wanted.startsWith('{') && part !== '') name = decodePart(part);
    else if (wanted !== part) return undefined;
  }
  return name;
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    throw new DcsError('BAD_COMMAND', `${part} is not percent-encoded text`, { cause: error });
  }
}

/** The OpenAPI 3.1 document of the routes: their paths, and their schemas as JSON Schema. */
export function openApi(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const one of routes) {
    const path = paths[one.path] ?? {};
    path[one.method.toLowerCase()] = operationDoc(one);
    paths[one.path] = path;
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'dcs-io',
      version,
      description:
        'Pins of an I/O agent. A program gives its token as `authorization: Bearer …`; a browser logs in and has a cookie, and names the csrf of /api/session in x-csrf-token. /api/socket is a WebSocket that speaks the envelopes of the bus.',
      license: { name: 'BSD-3-Clause', identifier: 'BSD-3-Clause' },
    },
    paths,
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer' },
        cookie: { type: 'apiKey', in: 'cookie', name: 'dcs-io-<port>, over TLS __Host-dcs-io-<port>' },
      },
    },
  };
}

function operationDoc({ summary, method, path, needs, body, query, responses: answers }: Route): object {
  const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  return {
    summary,
    operationId: `${method.toLowerCase()}${path.replaceAll(/[^a-z]+(\w?)/gi, (_, next: string) => next.toUpperCase())}`,
    ...(needs === 'anyone' ? { security: [] } : { security: [{ token: [] }, { cookie: [] }], 'x-role': needs }),
    parameters: [...named, ...parameterDocs(query)],
    ...(body && {
      requestBody: { required: true, content: { 'application/json': { schema: jsonSchema(body, 'input') } } },
    }),
    responses: Object.fromEntries(
      Object.entries(answers).map(([status, described]) => [status, responseDoc(described)]),
    ),
  };
}

function responseDoc({ description, schema, type }: ResponseDoc): object {
  if (schema) return { description, content: { 'application/json': { schema: jsonSchema(schema, 'output') } } };
  return type === undefined ? { description } : { description, content: { [type]: { schema: { type: 'string' } } } };
}

function parameterDocs(query: z.ZodType | undefined): object[] {
  if (!query) return [];
  const { properties, required } = jsonSchema(query, 'input');
  if (typeof properties !== 'object' || properties === null) return [];
  const wanted: unknown[] = Array.isArray(required) ? required : [];
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: wanted.includes(name),
    schema,
  }));
}

/** Of what goes in (a default need not be given) or comes out. */
function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  const made: unknown = z.toJSONSchema(schema, { io, target: 'draft-2020-12', unrepresentable: 'any' });
  const { $schema: _dialect, ...rest }: Record<string, unknown> =
    typeof made === 'object' && made !== null ? { ...made } : {};
  return rest;
}
