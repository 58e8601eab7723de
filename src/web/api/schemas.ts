import { z } from 'zod';
import { errorCodes } from '../../errors/errors.ts';
import { qualities } from '../../message/payloads.ts';
import { roles } from '../options.ts';

/** What the HTTP API takes and gives. The OpenAPI document is made from these, and the page has its types from here. */

const value = z.union([z.boolean(), z.number(), z.string()]);
const counts = z.record(z.string(), z.number());

export const pinFactsSchema = z
  .object({
    name: z.string().describe('its name on the bus'),
    kind: z.enum(['digital', 'analog', 'counter', 'text']).optional().describe('what its value is'),
    direction: z.enum(['in', 'out']).optional().describe('in: it is read; out: it can be commanded'),
    label: z.string().optional().describe('what people call it'),
    uom: z.string().optional().describe('unit of measure'),
    port: z.string().optional().describe('the port of its node that it is on'),
    range: z.tuple([z.number(), z.number()]).optional().describe('lowest and highest value it takes'),
    safe: value.optional().describe('the value that harms nobody'),
  })
  .describe('what a pin is');
export type PinFacts = z.infer<typeof pinFactsSchema>;

/** A report as it is on the bus; pins of other programs may leave most of it out. */
export const pinReportSchema = z.looseObject({
  val: z.union([value, z.null()]).describe('null: nothing has been read yet'),
  last_change: z.number().optional().describe('unix seconds at which val last changed'),
  quality: z.enum(qualities).optional().describe('bad: do not use val; reason says why'),
  reason: z.string().optional().describe('why the quality is not good'),
  source_time: z.number().optional().describe('unix seconds at which the hardware says it happened'),
  rate: z.number().optional().describe('counters: change of val per second'),
  seq: z.number().optional().describe("counts this pin's reports; a gap is a lost report"),
});

export type PinReport = z.infer<typeof pinReportSchema>;

export const pinStateSchema = z
  .looseObject({
    ...pinFactsSchema.shape,
    ...pinReportSchema.shape,
    node: z.string().optional().describe('name of the node it is on'),
  })
  .describe('what a pin is and what it last reported');
export type PinState = z.infer<typeof pinStateSchema>;

export const pinListSchema = z.array(pinStateSchema);

export const nodeMessageSchema = z.object({
  event: z.enum(['birth', 'heartbeat', 'leave']),
  node: z.string().max(64),
  name: z.string().max(256),
  boot: z.string().max(64),
  pins: z.array(pinFactsSchema).catch([]),
});
export type NodeFacts = z.infer<typeof nodeMessageSchema>;

export const commandSchema = z
  .strictObject({
    val: value.optional().describe('what the pin is asked for'),
    ttl: z.number().nonnegative().optional().describe('seconds after which it must not be carried out any more'),
    hold: z
      .number()
      .nonnegative()
      .optional()
      .describe('a lease: seconds after which the output goes to its safe value'),
    pulse: z.number().nonnegative().optional().describe('seconds after which the output goes back'),
    blink: z.tuple([z.number(), z.number()]).optional().describe('seconds on and seconds off'),
    override: z
      .number()
      .nonnegative()
      .optional()
      .describe('seconds for which val wins over every other command; 0, without val, ends an override'),
    rearm: z.literal(true).optional().describe('without val: let an output be commanded again after a loss'),
    timeout: z.number().positive().max(60).default(5).describe('seconds to wait for the answer'),
  })
  .refine(({ val, override, rearm }) => (val !== undefined) !== (override === 0 || rearm === true), {
    error: 'give val, or override: 0 or rearm: true without it',
  })
  .describe('a command for a pin');

export const errorSchema = z
  .object({
    code: z.string().describe(`one of ${Object.keys(errorCodes).join(', ')}`),
    message: z.string().describe('for people'),
    retryable: z.boolean().describe('the same request may succeed later'),
    expected: z.string().optional(),
  })
  .describe('why not');
export type ApiError = z.infer<typeof errorSchema>;

export const sessionSchema = z
  .object({
    node: z.string(),
    user: z.string().nullable().describe('null: not logged in'),
    role: z.enum(roles).nullable(),
    csrf: z.string().optional().describe('what the header x-csrf-token must say in requests that a cookie stands for'),
    login: z.boolean().describe('there are users who can log in'),
  })
  .describe('who you are');
export type SessionInfo = z.infer<typeof sessionSchema>;

export const loginSchema = z.union([
  z.strictObject({ user: z.string().max(64), password: z.string().max(1024) }),
  z.strictObject({ token: z.string().max(256) }),
]);

export const portSchema = z.object({
  name: z.string(),
  driver: z.string(),
  state: z.string().describe('opening, open, down, skipped, failed or stopped'),
  reason: z.string().optional().describe('why it is not open'),
  counters: counts,
  metrics: counts.describe('utilisation (0 to 1), round_trip_p99_ms, …'),
});

export const nodeStates = ['here', 'linked', 'relayed', 'lost', 'v1'] as const;

export const nodeStatusSchema = z
  .object({
    id: z.string(),
    name: z.string().describe('of a v1 process: its id'),
    state: z
      .enum(nodeStates)
      .describe(
        'here: this one. linked: there is a direct link. relayed: it is heard through others. lost: it is gone. v1: a process of aktos-dcs v1 with a direct link',
      ),
    pins: z.number(),
    addresses: z.array(z.string()),
    silent: z.number().describe('seconds since it was last heard'),
    since: z.number().optional().describe('seconds for which it has been linked or lost'),
    encrypted: z.boolean().optional(),
    round_trip_ms: z.number().optional().describe('of a datagram there and back; unknown within a machine'),
    missed: z.number().describe('messages of it that did not arrive; its last values were asked for'),
    dropped: z.number().describe('messages not sent because it does not take them'),
  })
  .describe('another process on the bus');
export type NodeStatus = z.infer<typeof nodeStatusSchema>;

export const statusSchema = z
  .object({
    node: z.string(),
    version: z.string(),
    time: z.number().describe('unix seconds'),
    uptime: z.number().describe('seconds'),
    ports: z.array(portSchema),
    nodes: z.array(nodeStatusSchema),
    broker: z.boolean().describe('this process is the address broker of its machine'),
    bus: counts,
    mesh: counts,
    actors: z.array(z.object({ name: z.string(), errors: z.number(), restarts: z.number() })),
    event_loop: z.object({ p50_ms: z.number(), p99_ms: z.number(), max_ms: z.number() }),
    memory: z.number().describe('bytes'),
    web: counts,
  })
  .describe('how the agent fares');
export type Status = z.infer<typeof statusSchema>;

export const trendSchema = z
  .record(z.string(), z.object({ t: z.array(z.number()), v: z.array(z.number().nullable()) }))
  .describe('by pin: unix seconds, and the value from each on; null: nobody knew');
export type Trends = z.infer<typeof trendSchema>;

export const headersSchema = z.array(
  z.object({
    title: z.string(),
    connector: z.string(),
    rows: z.array(
      z.array(
        z.object({
          position: z.number(),
          kind: z.enum(['power', 'ground', 'line', 'other']),
          name: z.string(),
          aliases: z.array(z.string()),
          bus: z.string().optional(),
          use: z.string().optional().describe("the user's pin on it"),
        }),
      ),
    ),
  }),
);
export type Headers = z.infer<typeof headersSchema>;

export const readySchema = z.object({
  ready: z.boolean(),
  waiting: z.array(z.string()).describe('ports that are not open'),
});
