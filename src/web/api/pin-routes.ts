import { z } from 'zod';
import { DcsError } from '../../errors/errors.ts';
import { namePattern } from '../../message/name-pattern.ts';
import { ioMessageOf } from '../../message/payloads.ts';
import { type Route, route } from '../http/route.ts';
import type { BusBridge } from '../live/bus-bridge.ts';
import type { EventStreams } from '../live/event-streams.ts';
import type { WebHost } from '../options.ts';
import { commandSchema, errorSchema, type PinState, pinListSchema, pinStateSchema, trendSchema } from './schemas.ts';

/** Time (ms) an unknown pin has to answer a query: programs other than dcs-io do not list their pins. */
const QUERY_TIMEOUT_MS = 1000;
const MAX_TREND_PINS = 50;
const MAX_PATTERNS = 50;

const errorResponses = {
  400: { description: 'the request is wrong', schema: errorSchema },
  401: { description: 'not logged in', schema: errorSchema },
  403: { description: 'the role is not sufficient, or the origin of the page is not allowed', schema: errorSchema },
} as const;
const noSuchPin = { description: 'no pin on the bus has that name', schema: errorSchema };
const patterns = z
  .array(z.string().max(256))
  .max(MAX_PATTERNS)
  .default(['*'])
  .describe("names of pins, or patterns like 'tank-*'; may be given more than once");

const commandResponses = {
  200: { description: 'done: the report of the pin', schema: pinStateSchema },
  404: noSuchPin,
  409: { description: 'an input, an expired command, an override, a safe state or a rule', schema: errorSchema },
  413: { description: 'the body is too long', schema: errorSchema },
  422: { description: 'the pin cannot take the value', schema: errorSchema },
  502: { description: 'the device refused, or took the value and does not have it', schema: errorSchema },
  503: { description: 'the port is not open', schema: errorSchema },
  504: { description: 'no answer in time: whether it took effect is unknown', schema: errorSchema },
  ...errorResponses,
} as const;

/** Routes to read pins, their history and their events, and to command them. */
export function pinRoutes(bridge: BusBridge, host: WebHost, streams: EventStreams): Route[] {
  return [
    route({
      method: 'GET',
      path: '/api/pins',
      summary: 'every pin on the bus with its last report',
      needs: 'view',
      responses: { 200: { description: 'sorted by name', schema: pinListSchema }, ...errorResponses },
      handle: () => ({ status: 200, json: bridge.state.pins() }),
    }),
    route({
      method: 'GET',
      path: '/api/pins/{name}',
      summary: 'one pin with its last report',
      needs: 'view',
      responses: { 200: { description: 'the pin', schema: pinStateSchema }, 404: noSuchPin, ...errorResponses },
      handle: async ({ name }) => ({ status: 200, json: await findPin(bridge, name) }),
    }),
    commandRoute(bridge),
    eventRoute(streams),
    historyRoute(bridge, host),
  ];
}

function commandRoute(bridge: BusBridge): Route {
  return route({
    method: 'PUT',
    path: '/api/pins/{name}',
    summary: 'set a pin and wait for its confirmation',
    needs: 'operate',
    body: commandSchema,
    responses: commandResponses,
    handle: async ({ name, body: { timeout, ...command }, identity }) => {
      await findPin(bridge, name);
      // The command expires with the timeout: it must not take effect after the client was told that it timed out.
      const message = { pin_name: name, ...(command.val !== undefined && { ttl: timeout }), ...command };
      const answer = await bridge.request(identity?.name ?? '', { IoMessage: message }, timeout * 1000);
      if (ioMessageOf(answer.payload)?.pin_name !== name) {
        throw new DcsError('BAD_REPLY', `${name} answered with something else`);
      }
      return { status: 200, json: bridge.state.pin(name, answer) };
    },
  });
}

function eventRoute(streams: EventStreams): Route {
  return route({
    method: 'GET',
    path: '/api/events',
    summary: 'server-sent events: the last report of each pin first, then reports, commands and refusals live',
    needs: 'view',
    query: z.object({ pin: patterns }),
    responses: {
      200: { description: 'events report, command, refusal', type: 'text/event-stream' },
      ...errorResponses,
    },
    handle: ({ query, identity }) => {
      const matchers = query.pin.map(namePattern);
      const matches = (pin: string) => matchers.some((matcher) => matcher(pin));
      return { stream: (response) => streams.open(response, matches, identity) };
    },
  });
}

function historyRoute(bridge: BusBridge, host: WebHost): Route {
  return route({
    method: 'GET',
    path: '/api/history',
    summary: 'past values of pins, as far back as the agent keeps them',
    needs: 'view',
    query: z.object({
      pin: z.array(z.string().max(256)).min(1).max(MAX_TREND_PINS).describe('names of pins'),
      seconds: z.array(z.coerce.number().positive()).max(1).default([600]).describe('how far back'),
    }),
    responses: { 200: { description: 'the values of each pin', schema: trendSchema }, ...errorResponses },
    handle: ({ query }) => {
      const from = host.clock.unix() - (query.seconds[0] ?? 600);
      const trends = query.pin.map((name) => [name, bridge.state.trend(name, from)] as const);
      return { status: 200, json: Object.fromEntries(trends) };
    },
  });
}

/** Returns a pin of the bus. An unknown pin is queried first; rejects with NO_SUCH_PIN when none answers. */
async function findPin(bridge: BusBridge, name: string): Promise<PinState> {
  if (!bridge.state.pin(name)) await bridge.queryPin(name, QUERY_TIMEOUT_MS);
  const pin = bridge.state.pin(name);
  if (pin) return pin;
  throw new DcsError('NO_SUCH_PIN', `no pin named '${name}' answers on the bus`, { expected: 'a name from /api/pins' });
}
