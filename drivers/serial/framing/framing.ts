import { z } from 'zod';
import type { Clock, DurationMs } from '../../../src/clock/clock.ts';
import { durationSchema } from '../../../src/driver/kit/schemas.ts';
import { dlmsProbe } from '../dlms/links.ts';
import { bytesText, patternText } from '../text.ts';
import {
  DelimiterFramer,
  type Framer,
  type FrameSink,
  MAX_END,
  PatternFramer,
  RawFramer,
  SlipFramer,
  TimedFramer,
} from './framers.ts';
import {
  endBytes,
  endPattern,
  fixedLength,
  HeaderFramer,
  lengthPrefix,
  lengthTypes,
  type Probe,
  startAndEnd,
} from './header-framer.ts';

const keys = z.strictObject({
  delimiter: bytesText.optional().describe('bytes that end a frame: "\\n" (the default), "\\r\\n", ";", "\\x03"'),
  pattern: patternText
    .optional()
    .describe(`an expression that recognises the end of a frame, at most ${MAX_END} bytes`),
  length: z.int().min(1).max(65_536).optional().describe('frames of this many bytes'),
  prefix: z.enum(lengthTypes).optional().describe('frames with their length in the header: its type'),
  at: z.int().min(0).max(64).optional().describe('with prefix: bytes before the length; default 0'),
  extra: z.int().min(-64).max(64).optional().describe('with prefix: bytes after it that it does not count; default 0'),
  start: bytesText.optional().describe('with length, prefix, end, endPattern: bytes every frame begins with'),
  end: bytesText.optional().describe('with start: bytes that end a frame; the marks are taken off'),
  endPattern: patternText.optional().describe(`with start: an expression for the end, at most ${MAX_END} bytes`),
  keep: z.boolean().optional().describe('with end, endPattern: leave the marks on the frame'),
  silence: durationSchema.optional().describe('a frame ends after this long without a byte'),
  timeout: durationSchema.optional().describe('a frame ends this long after its first byte'),
  max: z
    .int()
    .min(1)
    .max(65_536)
    .default(4096)
    .describe('longest frame in bytes; a longer one is dropped and counted, and reading goes on with the next'),
  gap: durationSchema
    .prefault('200ms')
    .describe('with length, prefix, start: a frame whose rest takes longer than this is dropped and counted'),
});
type Keys = z.infer<typeof keys>;

/** Longest pause within a frame of a meter. */
const DLMS_GAP_MS: DurationMs = 500;

const methods = ['delimiter', 'pattern', 'length', 'prefix', 'end', 'endPattern', 'silence', 'timeout'] as const;
type Method = (typeof methods)[number];
const companions: Readonly<Record<'at' | 'extra' | 'start' | 'keep', readonly Method[]>> = {
  at: ['prefix'],
  extra: ['prefix'],
  start: ['length', 'prefix', 'end', 'endPattern'],
  keep: ['end', 'endPattern'],
};

/** A way to split a byte stream into frames. */
export interface Framing {
  readonly max: number;
  /** Frames end at a line feed; a carriage return before it belongs to the line end. */
  readonly linefeed: boolean;
  /** Frames are parts of DLMS telegrams, which are read before anything else. */
  readonly dlms?: true;
  /** Every frame begins with certain bytes, or each chunk is a frame: the rest of a frame is not taken for a whole one. */
  readonly knownStart?: true;
  make(clock: Clock, sink: FrameSink): Framer;
}

/** `raw`, `slip`, `dlms`, or an object with exactly one of the methods. */
export const framingSchema = z
  .union([z.enum(['raw', 'slip', 'dlms']), keys], {
    error: (issue) =>
      typeof issue.input === 'object' ? undefined : 'raw, slip, dlms, or keys like { delimiter: "\\n" }',
  })
  .transform((found, context): Framing => {
    if (typeof found === 'string') return namedFraming(found);
    const problem = framingProblem(found);
    if (problem === undefined) return framingOf(found);
    context.addIssue({ code: 'custom', message: problem });
    return z.NEVER;
  });

function namedFraming(name: 'raw' | 'slip' | 'dlms'): Framing {
  const max = 4096;
  if (name === 'raw') {
    return { max: 65_536, linefeed: false, knownStart: true, make: (_clock, sink) => new RawFramer(sink) };
  }
  if (name === 'slip') return { max, linefeed: false, make: (_clock, sink) => new SlipFramer(max, sink) };
  const limits = { capacity: max, gap: DLMS_GAP_MS };
  const make: Framing['make'] = (clock, sink) => new HeaderFramer(dlmsProbe(max), limits, clock, sink);
  return { max, linefeed: false, dlms: true, knownStart: true, make };
}

function framingProblem(found: Keys): string | undefined {
  const chosen = methods.filter((way) => found[way] !== undefined);
  if (chosen.length > 1) return `${chosen.join(' and ')} exclude each other; one of ${methods.join(', ')} is enough`;
  for (const name of ['at', 'extra', 'start', 'keep'] as const) {
    if (found[name] === undefined) continue;
    const [way] = chosen;
    if (way === undefined || !companions[name].includes(way)) return `${name} goes with ${companions[name].join(', ')}`;
  }
  const marks = found.end !== undefined || found.endPattern !== undefined;
  if (marks && found.start === undefined) return 'end needs a start; frames with an end only have a delimiter';
  if (found.length !== undefined && (found.start?.length ?? 0) > found.length) return 'start is longer than length';
  return undefined;
}

function framingOf(found: Keys): Framing {
  const { delimiter, pattern, silence, timeout, max } = found;
  const base = { max: found.length ?? max, linefeed: false };
  if (pattern) return { ...base, make: (_clock, sink) => new PatternFramer(pattern.match, max, sink) };
  if (silence !== undefined) return { ...base, make: (clock, sink) => timed(silence, 'last', max, clock, sink) };
  if (timeout !== undefined) return { ...base, make: (clock, sink) => timed(timeout, 'first', max, clock, sink) };
  const head = headerProbe(found);
  if (head) {
    const limits = { capacity: head.capacity, gap: found.gap };
    const start = found.start && ({ knownStart: true } as const);
    return { ...base, ...start, make: (clock, sink) => new HeaderFramer(head.probe, limits, clock, sink) };
  }
  const mark = delimiter ?? Buffer.from('\n');
  const linefeed = mark.toString('latin1') === '\n';
  return { max, linefeed, make: (_clock, sink) => new DelimiterFramer(mark, max, sink) };
}

function timed(wait: DurationMs, from: 'first' | 'last', max: number, clock: Clock, sink: FrameSink): Framer {
  return new TimedFramer(wait, from, max, clock, sink);
}

function headerProbe(found: Keys): { readonly probe: Probe; readonly capacity: number } | undefined {
  const { length, prefix, end, endPattern: pattern, max, at = 0, extra = 0 } = found;
  const start = found.start ?? Buffer.alloc(0);
  if (length !== undefined) return { probe: fixedLength(length, start), capacity: length };
  if (prefix) return { probe: lengthPrefix({ type: prefix, at, extra }, start, max), capacity: Math.max(max, at + 4) };
  const mark = end ? endBytes(end) : pattern && endPattern(pattern.match);
  return (
    mark && { probe: startAndEnd(start, mark, max, found.keep ?? false), capacity: start.length + max + mark.longest }
  );
}
