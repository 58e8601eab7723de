import { MORE, type Probe, startAt, type Verdict } from './head.ts';
import { anchored, MAX_END } from './pattern.ts';

/** How a length stands in a header. */
export const lengthTypes = ['u8', 'u16be', 'u16le', 'u32be', 'u32le'] as const;
export type LengthType = (typeof lengthTypes)[number];

const SIZE: Readonly<Record<LengthType, number>> = { u8: 1, u16be: 2, u16le: 2, u32be: 4, u32le: 4 };

const noise = (length: number): Verdict => ({ kind: 'skip', why: 'noise', length });

/** Frames of `length` bytes, start mark included. */
export function fixedLength(length: number, start: Buffer): Probe {
  return (held) => {
    const skip = startAt(held, start);
    if (skip > 0) return noise(skip);
    return held.length < length ? MORE : { kind: 'frame', from: 0, to: length, length };
  };
}

export interface LengthField {
  readonly type: LengthType;
  /** Bytes before the length. */
  readonly at: number;
  /** Bytes of the frame that the length does not count, apart from those before it and its own. May be negative. */
  readonly extra: number;
}

/** Frames with their length in the header; the whole frame is given out, header included. */
export function lengthPrefix(field: LengthField, start: Buffer, max: number): Probe {
  const header = field.at + SIZE[field.type];
  return (held) => {
    const skip = startAt(held, start);
    if (skip > 0) return noise(skip);
    if (held.length < header) return MORE;
    const length = header + readLength(held, field) + field.extra;
    // A length that cannot be is no length: the frame begins elsewhere.
    if (length > max || length < header) return { kind: 'skip', why: length > max ? 'overlong' : 'damaged', length: 1 };
    return held.length < length ? MORE : { kind: 'frame', from: 0, to: length, length };
  };
}

function readLength(held: Buffer, { type, at }: LengthField): number {
  if (type === 'u8') return held.readUInt8(at);
  if (type === 'u16be') return held.readUInt16BE(at);
  if (type === 'u16le') return held.readUInt16LE(at);
  return type === 'u32be' ? held.readUInt32BE(at) : held.readUInt32LE(at);
}

/** An end mark of a frame. */
export interface EndMark {
  /** Most bytes it can have. */
  readonly longest: number;
  /** Where it first begins and ends, not before `base`; bytes before `from` have been looked at. */
  find(bytes: Buffer, base: number, from: number): { readonly at: number; readonly end: number } | undefined;
}

/**
 * Frames between a start and an end mark, given out without them unless `keep`. A second start before the end begins
 * anew. `max` is for what is between the marks.
 */
export function marked(start: Buffer, mark: EndMark, max: number, keep: boolean): Probe {
  return (held, scanned) => {
    const skip = startAt(held, start);
    if (skip > 0) return noise(skip);
    if (held.length < start.length) return MORE;
    const base = start.length;
    const found = mark.find(held, base, Math.max(base, scanned));
    const again = held.indexOf(start, Math.max(base, scanned - base + 1));
    if (again >= 0 && (!found || again < found.at)) return { kind: 'skip', why: 'incomplete', length: again };
    const content = found ? found.at - base : held.length - base - mark.longest + 1;
    // The start is passed over; what follows is noise up to the next start.
    if (content > max) return { kind: 'skip', why: 'overlong', length: base };
    if (!found) return MORE;
    return { kind: 'frame', from: keep ? 0 : base, to: keep ? found.end : found.at, length: found.end };
  };
}

/** An end mark of fixed bytes. */
export function endBytes(mark: Buffer): EndMark {
  return {
    longest: mark.length,
    find(bytes, base, from) {
      const at = bytes.indexOf(mark, Math.max(base, from - mark.length + 1));
      return at < 0 ? undefined : { at, end: at + mark.length };
    },
  };
}

/** An end mark recognised by a regular expression. */
export function endPattern(pattern: RegExp): EndMark {
  const longest = MAX_END;
  const atEnd = anchored(pattern);
  return {
    longest,
    find(bytes, base, from) {
      for (let end = from + 1; end <= bytes.length; end++) {
        const window = Math.max(base, end - longest);
        const found = atEnd.exec(bytes.toString('latin1', window, end));
        if (found && found[0] !== '') return { at: window + found.index, end };
      }
      return undefined;
    },
  };
}
