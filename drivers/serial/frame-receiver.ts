import type { Timer, UnixSeconds } from '../../src/clock/clock.ts';
import type { DriverContext } from '../../src/driver/contract.ts';
import { type DcsError, toDcsError } from '../../src/errors/errors.ts';
import { checksumHolds } from './checksum.ts';
import type { MeterKeys } from './dlms/ciphering.ts';
import { TelegramReader } from './dlms/telegrams.ts';
import type { Framer, FrameSink } from './framing/framers.ts';
import { type Captures, Matcher } from './matcher.ts';
import type { SerialOptions } from './options.ts';
import { decode } from './text.ts';

/** A frame and the matches of the port's patterns in it. */
export class MatchedFrame {
  readonly bytes: Buffer;
  readonly text: string;
  /** It may have lost its beginning; see FrameReceiver.begin. */
  readonly partial: boolean;
  readonly #captures: readonly Captures[];
  readonly #indexes: ReadonlyMap<RegExp, number>;

  constructor(
    { bytes, text, partial }: Pick<MatchedFrame, 'bytes' | 'text' | 'partial'>,
    captures: readonly Captures[],
    indexes: ReadonlyMap<RegExp, number>,
  ) {
    this.bytes = bytes;
    this.text = text;
    this.partial = partial;
    this.#captures = captures;
    this.#indexes = indexes;
  }

  /** The captures of a pattern, `null` when it does not match. No pattern matches every frame. */
  captures(pattern: RegExp | undefined): RegExpExecArray | null {
    if (pattern === undefined) return EMPTY_MATCH;
    return this.#captures[this.#indexes.get(pattern) ?? -1] ?? null;
  }

  /** Returns whether a pattern matches, or may match: it took too long to know. */
  mayMatch(pattern: RegExp): boolean {
    return this.#captures[this.#indexes.get(pattern) ?? -1] !== null;
  }
}

export interface FrameReceiverSink {
  /** A complete frame came in. */
  frame(bytes: Buffer, sourceTime: UnixSeconds): void;
  /** The same frame with its matches. Empty frames are not matched. */
  matched(frame: MatchedFrame, sourceTime: UnixSeconds): void;
  /** A pattern took too long on a frame; `final`: it is not tried any more. */
  patternTimeout(pattern: RegExp, final: boolean): void;
  /** A telegram of a meter cannot be read: it is damaged, or the key is wrong or missing. */
  unreadable(error: DcsError): void;
}

/** A device that is sending has sent a byte within this time, and the computer has it: adapters hold bytes back for up to 16 ms. */
const SILENCE_CHARACTERS = 20;
const LATENCY_MS = 50;

const EMPTY_MATCH = /(?:)/.exec('');

/** Turns received bytes into matched frames: bytes → frames → checksum → text → patterns. */
export class FrameReceiver {
  readonly #options: SerialOptions;
  readonly #context: DriverContext;
  readonly #framer: Framer;
  readonly #matcher: Matcher;
  readonly #patterns: readonly RegExp[];
  readonly #indexes: ReadonlyMap<RegExp, number>;
  readonly #sink: FrameReceiverSink;
  readonly #matching: boolean;
  readonly #telegrams: TelegramReader | undefined;
  /** Complete frames that have not been delivered yet. */
  #frames: Buffer[] = [];
  #pushing = false;
  /** A byte of the incomplete frame came in with an error. */
  #damaged = false;
  /** The line may be in the middle of a frame: it was opened, and has been neither silent nor sent to since. */
  #unsettled: boolean;
  #settling: Timer | undefined;
  /** The incomplete frame may have lost its beginning. */
  #midFrame = false;
  #partial: Buffer | undefined;
  /** The bytes sent last, when the device is to repeat them. */
  #echo: Buffer | undefined;

  /** Without `matching`, frames are only passed to `frame`. `keys`: those of a meter that encrypts. */
  constructor(
    options: SerialOptions,
    patterns: readonly RegExp[],
    { matching, keys }: { readonly matching: boolean; readonly keys: MeterKeys | undefined },
    context: DriverContext,
    sink: FrameReceiverSink,
  ) {
    this.#matching = matching;
    this.#unsettled = mayBePartial(options);
    this.#options = options;
    this.#context = context;
    this.#sink = sink;
    const distinct = new Map(patterns.map((pattern) => [pattern.source, pattern]));
    const sources = [...distinct.keys()];
    this.#patterns = [...distinct.values()];
    this.#indexes = new Map(patterns.map((pattern) => [pattern, sources.indexOf(pattern.source)]));
    this.#matcher = new Matcher(this.#patterns);
    const framed: FrameSink = {
      frame: (bytes) => {
        if (this.#midFrame) this.#partial = bytes;
        this.#midFrame = false;
        if (this.#damaged) {
          framed.dropped('damaged', bytes.length);
          return;
        }
        this.#frames.push(bytes);
        // Frames that end by time arrive outside of push.
        if (!this.#pushing) this.#deliver();
      },
      dropped: (why, bytes) => {
        if (why !== 'noise') {
          context.count(`frames_${why}`);
          this.#damaged = false;
          this.#midFrame = false;
        }
        context.count('bytes_dropped', bytes);
      },
    };
    this.#framer = options.framing.make(context.clock, framed);
    if (options.framing.dlms) {
      this.#telegrams = new TelegramReader(keys, (bytes) => framed.dropped('incomplete', bytes));
    }
  }

  /**
   * The line is open. When the first byte comes at once, the device was sending: the rest of that frame may look whole, as
   * `3.5kg` of `123.5kg`. It is only a frame for those who asked for it. Start marks and checksums tell as much.
   */
  begin(): void {
    if (!mayBePartial(this.#options)) return;
    const { clock } = this.#context;
    const wait = LATENCY_MS + (SILENCE_CHARACTERS * 10_000) / this.#options.line.baud;
    this.#unsettled = true;
    this.#settling?.cancel();
    // After a turn of the event loop: bytes that wait while this process is busy have come in time.
    this.#settling = clock.after(wait, () => setImmediate(() => this.noteSettled()));
  }

  /** The next byte begins a frame: the line was silent, or bytes were sent, to which it may be the answer. */
  noteSettled(): void {
    this.#settling?.cancel();
    this.#unsettled = false;
  }

  /** The device is about to repeat these bytes. */
  expectEcho(bytes: Buffer): void {
    if (this.#options.echo) this.#echo = withoutLineEnd(bytes);
  }

  push(bytes: Buffer): void {
    if (this.#unsettled) {
      this.noteSettled();
      this.#midFrame = true;
    }
    this.#context.count('bytes_in', bytes.length);
    this.#pushing = true;
    this.#framer.push(bytes);
    this.#pushing = false;
    if (this.#frames.length > 0) this.#deliver();
  }

  /**
   * A byte came in with an error, so its frame is dropped. The byte may have been the end of that frame, or may only look
   * like one: then the frame after it is incomplete and is dropped too.
   */
  damaged(byte: Buffer): void {
    this.#context.count('line_errors');
    this.#damaged = true;
    if (byte.length > 0) this.push(byte);
    this.#damaged = true;
  }

  /** Drops an incomplete frame. */
  end(): void {
    this.#settling?.cancel();
    this.#midFrame = false;
    const lost = this.#framer.reset();
    if (lost > 0) this.#context.count('bytes_dropped', lost);
  }

  #deliver(): void {
    const { echo, checksum, encoding } = this.#options;
    const received = this.#telegrams ? this.#frames.flatMap((frame) => this.#telegram(frame)) : this.#frames;
    const frames = echo || checksum ? received.filter((frame) => this.#accepts(frame)) : received;
    this.#frames = [];
    this.#context.count('frames_in', frames.length);
    const now = this.#context.clock.unix();
    for (const frame of frames) this.#sink.frame(frame, now);
    if (!this.#matching) return;
    const filled = frames
      .filter((bytes) => bytes.length > 0)
      .map((bytes) => ({
        bytes,
        text: decode(this.#trimmed(bytes), encoding),
        partial: bytes === this.#partial,
      }));
    this.#partial = undefined;
    const texts = filled.map(({ text }) => text);
    this.#matcher.run(texts, {
      frame: (index, found) => {
        const frame = filled[index];
        if (frame) this.#sink.matched(new MatchedFrame(frame, found, this.#indexes), now);
      },
      timeout: (index, final) => {
        const pattern = this.#patterns[index];
        if (pattern) this.#sink.patternTimeout(pattern, final);
      },
    });
  }

  /** The telegram that a frame completes. */
  #telegram(frame: Buffer): readonly Buffer[] {
    try {
      const text = this.#telegrams?.read(frame);
      return text ? [text] : [];
    } catch (thrown) {
      this.#context.count('frames_unreadable');
      this.#context.count('bytes_dropped', frame.length);
      this.#sink.unreadable(toDcsError(thrown));
      return [];
    }
  }

  #accepts(frame: Buffer): boolean {
    if (this.#echo && withoutLineEnd(frame).equals(this.#echo)) {
      this.#echo = undefined;
      this.#context.count('echoes');
      return false;
    }
    const { checksum } = this.#options;
    if (!checksum || checksumHolds(this.#trimmed(frame), checksum)) return true;
    this.#context.count('frames_checksum');
    this.#context.count('bytes_dropped', frame.length);
    return false;
  }

  /** Lines split at \n often end in \r\n; the \r belongs to the line end. */
  #trimmed(frame: Buffer): Buffer {
    return this.#options.framing.linefeed && frame[frame.length - 1] === 0x0d ? frame.subarray(0, -1) : frame;
  }
}

/** Whether the rest of a frame may look like a whole one. */
function mayBePartial({ framing, checksum }: SerialOptions): boolean {
  return !framing.knownStart && checksum === undefined;
}

function withoutLineEnd(bytes: Uint8Array): Buffer {
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--;
  return Buffer.from(bytes.buffer, bytes.byteOffset, end);
}
