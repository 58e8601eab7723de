import { z } from 'zod';
import type { Described, Route } from '../http/route.ts';

/** The OpenAPI 3.1 document of the routes: their paths, and their schemas as JSON Schema. */
export function openApi(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const one of routes) {
    const path = paths[one.path] ?? {};
    path[one.method.toLowerCase()] = operation(one);
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

function operation({ summary, method, path, needs, body, query, answers }: Route): object {
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
    parameters: [...named, ...queryParameters(query)],
    ...(body && {
      requestBody: { required: true, content: { 'application/json': { schema: jsonSchema(body, 'input') } } },
    }),
    responses: Object.fromEntries(Object.entries(answers).map(([status, described]) => [status, response(described)])),
  };
}

function response({ description, schema, type }: Described): object {
  if (schema) return { description, content: { 'application/json': { schema: jsonSchema(schema, 'output') } } };
  return type === undefined ? { description } : { description, content: { [type]: { schema: { type: 'string' } } } };
}

function queryParameters(query: z.ZodType | undefined): object[] {
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
