import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { DcsError } from '../../errors/errors.ts';
import type { Identity } from '../auth/authenticator.ts';
import type { Role } from '../options.ts';

export type Method = 'GET' | 'PUT' | 'POST' | 'DELETE';

/** The response of a route. With `stream`, the route writes to the response itself and ends it. */
export type ApiResponse =
  | { readonly status: number; readonly json: unknown; readonly headers?: Readonly<Record<string, string>> }
  | { readonly status: number; readonly text: string; readonly type: string }
  | { readonly status: 204; readonly headers?: Readonly<Record<string, string>> }
  | { readonly stream: (response: ServerResponse) => void };

/** Description of a response for the OpenAPI document. */
export interface ResponseDoc {
  readonly description: string;
  /** Schema of a JSON body. */
  readonly schema?: z.ZodType;
  /** Content type of another body. */
  readonly type?: string;
}

export interface ApiRequest<Body, Query> {
  readonly request: IncomingMessage;
  /** `undefined` only in routes for anyone. */
  readonly identity: Identity | undefined;
  /** The path parameter `{name}`, percent-decoded. */
  readonly name: string;
  readonly body: Body;
  readonly query: Query;
}

interface RouteInfo {
  readonly method: Method;
  /** Path template with at most one parameter: `/api/pins/{name}`. */
  readonly path: string;
  readonly summary: string;
  /** The role a user needs. */
  readonly needs: Role | 'anyone';
  readonly responses: Readonly<Record<number, ResponseDoc>>;
}

export interface RouteSpec<Body, Query> extends RouteInfo {
  readonly body?: z.ZodType<Body>;
  /** Schema of the query. Each value is a list, because a parameter may be repeated. */
  readonly query?: z.ZodType<Query>;
  handle(request: ApiRequest<Body, Query>): ApiResponse | Promise<ApiResponse>;
}

/** A route that takes body and query unchecked, and validates them itself. */
export interface Route extends RouteInfo {
  readonly body: z.ZodType | undefined;
  readonly query: z.ZodType | undefined;
  /** Rejects with BAD_COMMAND when body or query do not match their schemas. */
  handle(request: ApiRequest<unknown, unknown>): Promise<ApiResponse>;
}

/** Creates a route that validates its input by the schemas. Input without a schema is ignored. */
export function route<Body = undefined, Query = undefined>(spec: RouteSpec<Body, Query>): Route {
  const { body, query } = spec;
  return {
    ...spec,
    body,
    query,
    handle: async (request) =>
      spec.handle({
        ...request,
        body: validated(body, request.body, 'the body'),
        query: validated(query, request.query, 'the query'),
      }),
  };
}

function validated<T>(schema: z.ZodType<T> | undefined, found: unknown, what: string): T {
  // Without a schema, T is undefined and the input is ignored.
  const result = (schema ?? z.custom<T>(() => true)).safeParse(schema ? found : undefined);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const at = issue?.path.join('.') ?? '';
  throw new DcsError('BAD_COMMAND', `${what}: ${at === '' ? '' : `${at}: `}${issue?.message ?? 'is wrong'}`, { found });
}

/** Finds the route of a request and the value of its path parameter; without a match, the methods that the path allows. */
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

/** Generates the OpenAPI 3.1 document of the routes from their schemas. */
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

/** Returns the JSON Schema of an input (keys with a default are optional) or an output. */
function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  const made: unknown = z.toJSONSchema(schema, { io, target: 'draft-2020-12', unrepresentable: 'any' });
  const { $schema: _dialect, ...rest }: Record<string, unknown> =
    typeof made === 'object' && made !== null ? { ...made } : {};
  return rest;
}
