import { z } from 'zod';
import { errorCodes } from '../../errors/errors.ts';
import { qualities } from '../../message/payloads.ts';
import { roles } from '../options.ts';

/** Schemas of the HTTP API. The OpenAPI document, the reference and the types of the page come from these. */

const value = z.union([z.boolean(), z.number(), z.string()]);
const counts = z.record(z.string(), z.number());

const pinFactsSchema = z
  .object({
    name: z.string().describe('its name on the bus'),
    kind: z.enum(['digital', 'analog', 'counter', 'text']).optional().describe('type of its value'),
    direction: z.enum(['in', 'out']).optional().describe('in: an input; out: an output that takes commands'),
    label: z.string().optional().describe('name for people'),
    uom: z.string().optional().describe('unit of measure'),
    port: z.string().optional().describe('its port'),
    range: z.tuple([z.number(), z.number()]).optional().describe('lowest and highest accepted value'),
    safe: value.optional().describe('its safe value'),
  })
  .describe('properties of a pin');
export type PinFacts = z.infer<typeof pinFactsSchema>;

/** A report of the bus; pins of programs other than dcs-io may omit most keys. */
export const pinReportSchema = z.looseObject({
  val: z.union([value, z.null()]).describe('null: not read yet'),
  last_change: z.number().optional().describe('unix seconds at which val last changed'),
  quality: z.enum(qualities).optional().describe('bad: do not use val; reason says why'),
  reason: z.string().optional().describe('why the quality is not good'),
  source_time: z.number().optional().describe('time stamp of the hardware (unix seconds)'),
  rate: z.number().optional().describe('counters: change of val per second'),
  seq: z.number().optional().describe('sequence number of the reports of this pin; a gap is a lost report'),
});

export type PinReport = z.infer<typeof pinReportSchema>;

export const pinStateSchema = z
  .looseObject({
    ...pinFactsSchema.shape,
    ...pinReportSchema.shape,
    node: z.string().optional().describe('name of its node'),
  })
  .describe('a pin and its last report');
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
    val: value.optional().describe('value to set'),
    ttl: z.number().nonnegative().optional().describe('seconds after which the command expires'),
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
      .describe('seconds for which val overrides every other command; 0, without val, ends an override'),
    rearm: z
      .literal(true)
      .optional()
      .describe('without val: allow commands again on an output locked in its safe state'),
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
    retryable: z.boolean().describe('true: the same request may succeed later'),
    expected: z.string().optional().describe('what would be right'),
  })
  .describe('an error');
export type ApiError = z.infer<typeof errorSchema>;

export const sessionSchema = z
  .object({
    node: z.string(),
    user: z.string().nullable().describe('null: not logged in'),
    role: z.enum(roles).nullable(),
    csrf: z
      .string()
      .optional()
      .describe('CSRF token: the header x-csrf-token of requests with a cookie must have this value'),
    login: z.boolean().describe('true: the configuration has users'),
  })
  .describe('the current user');
export type SessionInfo = z.infer<typeof sessionSchema>;

export const loginSchema = z.union([
  z.strictObject({ user: z.string().max(64), password: z.string().max(1024) }),
  z.strictObject({ token: z.string().max(256) }),
]);

const portSchema = z.object({
  name: z.string(),
  driver: z.string(),
  state: z.string().describe('opening, open, down, skipped, failed or stopped'),
  reason: z.string().optional().describe('why the port is not open'),
  counters: counts,
  metrics: counts.describe('utilisation (0 to 1), round_trip_p99_ms, …'),
});

const nodeStates = ['here', 'linked', 'relayed', 'lost', 'v1'] as const;

const nodeStatusSchema = z
  .object({
    id: z.string(),
    name: z.string().describe('of a v1 process: its id'),
    state: z
      .enum(nodeStates)
      .describe(
        'here: this node. linked: directly connected. relayed: its messages come through other nodes. lost: it has left or timed out. v1: a directly connected process of aktos-dcs v1',
      ),
    pins: z.number(),
    addresses: z.array(z.string()),
    silent: z.number().describe('seconds since its last message'),
    since: z.number().optional().describe('seconds since it was linked or lost'),
    encrypted: z.boolean().optional(),
    round_trip_ms: z.number().optional().describe('round-trip time of a UDP ping; not measured within a machine'),
    missed: z.number().describe('messages of this node that were lost; its last values were queried'),
    dropped: z.number().describe('messages dropped because this node does not accept them'),
  })
  .describe('a process on the bus');
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
  .describe('status of the agent');
export type Status = z.infer<typeof statusSchema>;

export const trendSchema = z
  .record(z.string(), z.object({ t: z.array(z.number()), v: z.array(z.number().nullable()) }))
  .describe('by pin: unix seconds, and the value from each on; null: unknown');
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
          use: z.string().optional().describe('name of the configured pin on it'),
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
