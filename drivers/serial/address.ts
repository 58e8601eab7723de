import { z } from 'zod';
import type { DurationMs } from '../../src/clock/clock.ts';
import { durationSchema } from '../../src/driver/kit/schemas.ts';
import { type CaptureParts, capturePartsOf, captureSchema } from './capture.ts';
import { type DrivenLine, drivenLines, type SensedLine, sensedLines } from './line/transport.ts';
import { parseTemplate, type Template, type TemplateType } from './template.ts';
import { bytesText, type Pattern, patternText } from './text.ts';
import { type UnitWords, unitsSchema } from './units.ts';
import { type CaptureStyle, captureTypes, type FieldType, fieldTypes, kindOfType } from './value.ts';

const controlLines = [...drivenLines, ...sensedLines] as const;

const keys = z.strictObject({
  match: patternText
    .optional()
    .describe('a regular expression tried on every frame; its capture is the value: "ST,GS,\\s*([-+0-9.]+)kg"'),
  capture: captureSchema
    .optional()
    .describe(
      'which capture, when match has several: its name or number; [sign, digits] joins several, "{digits}e-{decimals}" with text between; default: (?<value>…)',
    ),
  units: unitsSchema
    .optional()
    .describe(
      'match has a capture named uom, the unit that the device says. Its words for units beside the common ones, { KGM: kg, GN: 64.8 mg }, or as numbers in the unit of the pin, { KGM: 1 }',
    ),
  bad: patternText
    .optional()
    .describe(
      'a frame that matches this makes the pin bad: the device says that its value does not count ("status V")',
    ),
  max_lag: durationSchema
    .optional()
    .describe(
      'match has captures named time and now (YYMMDDhhmmss): the value is uncertain when its time is older than now by more than this',
    ),
  type: z
    .enum(captureTypes)
    .default('number')
    .describe('what the value is: number, bool (1/0, on/off, …), text, hex, degrees (NMEA: 4807.038,N)'),
  decimal: z.enum(['.', ',']).default('.').describe('the character before the decimals'),
  on: z.array(z.string()).min(1).optional().describe('type bool: what the device says for true'),
  off: z.array(z.string()).min(1).optional().describe('type bool: what the device says for false'),
  at: z.int().min(0).max(65_535).optional().describe('binary frames: the byte at which the value begins'),
  as: z.enum(fieldTypes).optional().describe('with at: how the number stands there'),
  max_age: durationSchema.optional().describe('the pin goes bad when nothing has matched for this long'),
  ask: bytesText.optional().describe('a command that makes the device say the value; only the answer to it counts'),
  poll: durationSchema.optional().describe('with ask: how often it is sent; default 1s'),
  write: z
    .union([
      z.string().min(1),
      z.strictObject({
        on: z.string().min(1).describe('what is sent for on'),
        off: z.string().min(1).describe('what is sent for off'),
      }),
    ])
    .optional()
    .describe('what a command sends: "SP{value:05.1f}\\r\\n", "RELAY {value:ON|OFF}\\r", or { on: …, off: … }'),
  reply: patternText.optional().describe('with write: the frame that confirms it'),
  refused: patternText.optional().describe('with reply: the frame that refuses it'),
  retries: z.int().min(0).max(10).default(0).describe('with reply: how often it is sent again when no answer comes'),
  control: z.enum(controlLines).optional().describe('a modem control line instead: dtr, rts, break; cts, dsr, dcd, ri'),
});
type Keys = z.infer<typeof keys>;

/** The frames that hold a value, and its place in them. */
export interface Source {
  readonly pattern: Pattern | undefined;
  /** The captures of the value; ignored with `field`. */
  readonly capture: CaptureParts;
  readonly style: CaptureStyle;
  /** The device says the unit of the value in the capture `uom`; `words`: its own words for units. */
  readonly unit: { readonly words: UnitWords | undefined } | undefined;
  /** Frames with which the device says that the value does not count. */
  readonly bad: Pattern | undefined;
  /** Longest time from the value to its frame, by the captures `time` and `now`. */
  readonly maxLag: DurationMs | undefined;
  readonly field: { readonly at: number; readonly as: FieldType } | undefined;
  readonly maxAge: DurationMs | undefined;
  readonly ask: { readonly bytes: Buffer; readonly every: DurationMs } | undefined;
}

/** The bytes that a command to a pin sends, and the answer it needs. */
export interface Command {
  readonly type: TemplateType;
  readonly template: Template | { readonly on: Buffer; readonly off: Buffer };
  readonly reply: RegExp | undefined;
  readonly refused: RegExp | undefined;
  readonly retries: number;
}

export interface SerialAddress {
  readonly key: string;
  readonly kind: 'analog' | 'digital' | 'text';
  readonly source: Source | undefined;
  readonly command: Command | undefined;
  readonly control: DrivenLine | SensedLine | undefined;
}

export const pinSchema = keys.transform((found, context): SerialAddress => {
  const refuse = (key: string, message: string) => {
    context.addIssue({ code: 'custom', message, path: [key] });
    return z.NEVER;
  };
  const problem = conflictingKeys(found);
  if (problem) return refuse(...problem);
  const capture = captureOf(found);
  if ('problem' in capture) return refuse(found.capture === undefined ? 'match' : 'capture', capture.problem);
  const command = commandOf(found);
  if (command && 'problem' in command) return refuse('write', command.problem);
  const kind = found.control ? 'digital' : kindOf(found);
  return { key: keyOf(found), kind, source: sourceOf(found, capture), command, control: found.control };
});

function kindOf({ type }: Keys): SerialAddress['kind'] {
  const kind = kindOfType[type];
  return kind === 'counter' ? 'analog' : kind;
}

/** Keys that do not go together: the key at fault and the reason. */
function conflictingKeys(found: Keys): [string, string] | undefined {
  return controlConflict(found) ?? sourceConflict(found) ?? captureConflict(found) ?? writeConflict(found);
}

function controlConflict(found: Keys): [string, string] | undefined {
  const { match, at, write, control } = found;
  const given = (['match', 'at', 'write', 'ask', 'reply'] as const).filter((key) => found[key] !== undefined);
  if (control) return given[0] && [given[0], `does not go with control: ${control}`];
  if (!match && at === undefined && write === undefined)
    return ['match', 'a pin needs match, at, write or control to say what it is'];
  return undefined;
}

function sourceConflict({ match, at, as, type, ask, poll, max_age, bad }: Keys): [string, string] | undefined {
  const found = match !== undefined || at !== undefined;
  if ((at === undefined) !== (as === undefined)) return [at === undefined ? 'as' : 'at', 'at and as go together'];
  if (at !== undefined && type !== 'number') return ['type', 'a value at a byte is a number'];
  if (ask && !found) return ['ask', 'ask needs match or at to know the answer'];
  if (poll !== undefined && !ask) return ['poll', 'poll says how often to ask; ask is missing'];
  if (max_age !== undefined && !found) return ['max_age', 'max_age goes with match or at'];
  if (bad && !found) return ['bad', 'bad goes with match or at'];
  return undefined;
}

/** Keys that need named captures. */
function captureConflict(found: Keys): [string, string] | undefined {
  const { match, at, type, capture, units, max_lag } = found;
  const names = match?.names ?? [];
  if (capture !== undefined && (!match || at !== undefined)) return ['capture', 'capture goes with match, without at'];
  if (units && !saysUnit(found)) {
    const missing = 'units goes with a capture of match named uom: ([0-9.]+)(?<uom>kg|g)';
    return ['units', type === 'number' ? missing : 'units goes with type: number'];
  }
  if (max_lag !== undefined && !(names.includes('time') && names.includes('now'))) {
    return ['max_lag', 'max_lag goes with captures of match named time and now, each YYMMDDhhmmss'];
  }
  return undefined;
}

/** The device says the unit of a number. A pin of text may have that unit as its value. */
function saysUnit({ match, at, type }: Keys): boolean {
  return type === 'number' && at === undefined && match?.names.includes('uom') === true;
}

function writeConflict({ write, reply, refused, retries, type, on, off }: Keys): [string, string] | undefined {
  if (reply && write === undefined) return ['reply', 'reply goes with write'];
  if ((on || off) && type !== 'bool') return [on ? 'on' : 'off', 'goes with type: bool'];
  if (refused && !reply) return ['refused', 'refused goes with reply'];
  if (retries > 0 && !reply)
    return ['retries', 'retries goes with reply: without one it is unknown whether the device has the command'];
  return undefined;
}

function captureOf({ match, capture, at }: Keys): CaptureParts | { readonly problem: string } {
  return !match || at !== undefined ? [] : capturePartsOf(capture, match);
}

function commandOf(found: Keys): Command | { readonly problem: string } | undefined {
  const { write, reply, refused, retries } = found;
  if (write === undefined) return undefined;
  const type = found.type === 'bool' ? 'bool' : found.type === 'text' ? 'text' : 'number';
  const rest = { type, reply: reply?.match, refused: refused?.match, retries } as const;
  if (typeof write === 'string') {
    const parsed = parseTemplate(write, type);
    return parsed.ok ? { ...rest, template: parsed.template } : parsed;
  }
  if (type !== 'bool') return { problem: '{ on, off } goes with type: bool' };
  const on = bytesText.safeParse(write.on);
  const off = bytesText.safeParse(write.off);
  if (on.success && off.success) return { ...rest, template: { on: on.data, off: off.data } };
  return { problem: (on.error ?? off.error)?.issues[0]?.message ?? 'has a wrong escape' };
}

function sourceOf(found: Keys, capture: CaptureParts): Source | undefined {
  const { match, at, as, type, decimal, on, off, ask, poll = 1000, bad, units } = found;
  if (!match && at === undefined) return undefined;
  return {
    pattern: match,
    capture,
    style: { type, decimal, on, off },
    field: at !== undefined && as !== undefined ? { at, as } : undefined,
    unit: saysUnit(found) ? { words: units } : undefined,
    bad,
    maxLag: found.max_lag,
    maxAge: found.max_age,
    ask: ask && { bytes: ask, every: poll },
  };
}

/** The channel key, unique in the port. An output's key is what it sends, not what it reads. */
function keyOf({ match, capture, at, as, type, ask, write, control, on }: Keys): string {
  if (control) return control;
  if (write !== undefined) return `write ${JSON.stringify(write)}`;
  const asked = ask ? `${JSON.stringify(ask.toString('latin1'))} → ` : '';
  if (at !== undefined) return `${asked}byte ${at} as ${as}${match ? ` of ${match.match.source}` : ''}`;
  const captured = capture === undefined ? '' : ` #${[capture].flat().join('+')}`;
  return `${asked}${match?.match.source}${captured} as ${type}${on ? ` ${on.join(' or ')}` : ''}`;
}
