import { z } from 'zod';
import { DcsError } from '../../errors/errors.ts';
import { namePattern } from '../../message/name-pattern.ts';
import { ioMessageOf } from '../../message/payloads.ts';
import { type Route, route } from '../http/route.ts';
import type { BusBridge } from '../live/bus-bridge.ts';
import type { EventStreams } from '../live/event-streams.ts';
import type { WebHost } from '../options.ts';
import { commandSchema, errorSchema, type PinState, pinListSchema, pinStateSchema, trendSchema } from './schemas.ts';

/** A pin of a program that says little of itself is asked, and has this long (ms) to answer. */
const QUERY_TIMEOUT_MS = 1000;
const MAX_TREND_PINS = 50;
const MAX_PATTERNS = 50;

const errorResponses = {
  400: { description: 'the request is wrong', schema: errorSchema },
  401: { description: 'log in first', schema: errorSchema },
  403: { description: 'the role does not suffice, or the page it comes from may not', schema: errorSchema },
} as const;
const noSuchPin = { description: 'nobody on the bus has a pin of that name', schema: errorSchema };
const patterns = z
  .array(z.string().max(256))
  .max(MAX_PATTERNS)
  .default(['*'])
  .describe("names of pins, or patterns like 'tank-*'; may be given more than once");

/** Pins: what they are, what they were, and commands to them. */
export function pinRoutes(bridge: BusBridge, host: WebHost, streams: EventStreams): Route[] {
  return [
    route({
      method: 'GET',
      path: '/api/pins',
      summary: 'every pin on the bus with its last report',
      needs: 'view',
      responses: { 200: { description: 'by name', schema: pinListSchema }, ...errorResponses },
      handle: () => ({ status: 200, json: bridge.state.pins() }),
    }),
    route({
      method: 'GET',
      path: '/api/pins/{name}',
      summary: 'one pin with its last report',
      needs: 'view',
      responses: { 200: { description: 'the pin', schema: pinStateSchema }, 404: noSuchPin, ...errorResponses },
      handle: async ({ name }) => ({ status: 200, json: await knownPin(bridge, name) }),
    }),
    route({
      method: 'PUT',
      path: '/api/pins/{name}',
      summary: 'ask a pin for a value and wait for its answer',
      needs: 'operate',
      body: commandSchema,
      responses: {
        200: { description: 'done: what the pin then reported', schema: pinStateSchema },
        404: noSuchPin,
        413: { description: 'the body is too long', schema: errorSchema },
        409: {
          description: 'an input, a command that is too old, an override, a safe state or a rule',
          schema: errorSchema,
        },
        422: { description: 'the value does not fit the pin', schema: errorSchema },
        502: { description: 'the device refused', schema: errorSchema },
        503: { description: 'the port is not open', schema: errorSchema },
        504: { description: 'no answer in time: whether it took effect is unknown', schema: errorSchema },
        ...errorResponses,
      },
      handle: async ({ name, body: { timeout, ...command }, identity }) => {
        await knownPin(bridge, name);
        // Nobody waits longer: what is not done by then must not be done later.
        const message = { pin_name: name, ...(command.val !== undefined && { ttl: timeout }), ...command };
        const answer = await bridge.request(identity?.name ?? '', { IoMessage: message }, timeout * 1000);
        if (ioMessageOf(answer.payload)?.pin_name !== name) {
          throw new DcsError('BAD_REPLY', `${name} answered with something else`);
        }
        return { status: 200, json: bridge.state.pin(name, answer) };
      },
    }),
    route({
      method: 'GET',
      path: '/api/events',
      summary: 'server-sent events: reports, commands and refusals as they pass, the last report of each pin first',
      needs: 'view',
      query: z.object({ pin: patterns }),
      responses: {
        200: { description: 'events report, command, refusal', type: 'text/event-stream' },
        ...errorResponses,
      },
      handle: ({ query, identity }) => {
        const fits = query.pin.map(namePattern);
        const wants = (pin: string) => fits.some((one) => one(pin));
        return { stream: (response) => streams.open(bridge, host.clock, response, wants, identity) };
      },
    }),
    route({
      method: 'GET',
      path: '/api/history',
      summary: 'how pins changed, as far back as the agent remembers',
      needs: 'view',
      query: z.object({
        pin: z.array(z.string().max(256)).min(1).max(MAX_TREND_PINS).describe('names of pins'),
        seconds: z.array(z.coerce.number().positive()).max(1).default([600]).describe('how far back'),
      }),
      responses: { 200: { description: 'the trends', schema: trendSchema }, ...errorResponses },
      handle: ({ query }) => {
        const from = host.clock.unix() - (query.seconds[0] ?? 600);
        return {
          status: 200,
          json: Object.fromEntries(query.pin.map((name) => [name, bridge.state.trend(name, from)])),
        };
      },
    }),
  ];
}

async function knownPin(bridge: BusBridge, name: string): Promise<PinState> {
  if (!bridge.state.pin(name)) await bridge.queryPin(name, QUERY_TIMEOUT_MS);
  const pin = bridge.state.pin(name);
  if (pin) return pin;
  throw new DcsError('NO_SUCH_PIN', `no pin named '${name}' answers on the bus`, { expected: 'a name from /api/pins' });
}
