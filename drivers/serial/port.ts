import type { DurationMs, UnixSeconds } from '../../src/clock/clock.ts';
import type {
  ByteStream,
  Channel,
  Port,
  PortContext,
  Reading,
  ReadingListener,
  Written,
} from '../../src/driver/driver.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { Framer, FrameSink } from './framing/framer.ts';
import { Matcher, type MatchSink } from './matcher.ts';
import type { SerialAddress, SerialOptions } from './options.ts';
import { readCapture } from './pattern.ts';
import { decode } from './text.ts';
import type { Transport, TransportEvents } from './transport.ts';

/** How long a device may hold bytes off (ms), beyond the time the line needs for them. */
const SEND_PATIENCE_MS = 2000;
/** Most bytes waiting to be sent; more is refused, so that what goes out is never old. */
const SEND_QUEUE = 65_536;

interface Point {
  readonly channel: Channel<SerialAddress>;
  readonly listeners: Set<ReadingListener>;
  last: Reading | undefined;
}

type FrameListener = (frame: Uint8Array, sourceTime: UnixSeconds) => void;

/** A serial port: frames in to stream listeners and, through patterns, to pins; bytes out in the order they were asked for. */
export class SerialPort implements Port {
  readonly stream: ByteStream;
  readonly #options: SerialOptions;
  readonly #context: PortContext;
  readonly #framer: Framer;
  readonly #linefeed: boolean;
  readonly #points: readonly Point[];
  readonly #matcher: Matcher | undefined;
  readonly #frameListeners = new Set<FrameListener>();
  #transport: Transport | undefined;
  #ended: DcsError | undefined;
  /** Frames of the chunk that is being cut. */
  #frames: Uint8Array[] = [];
  #queued = 0;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(
    options: SerialOptions,
    channels: readonly Channel<SerialAddress>[],
    framer: (sink: FrameSink) => Framer,
    context: PortContext,
  ) {
    this.#options = options;
    this.#context = context;
    this.#linefeed = options.framing.delimiter.toString('latin1') === '\n';
    this.#points = channels.map((channel) => ({ channel, listeners: new Set(), last: undefined }));
    this.#matcher = channels.length > 0 ? new Matcher(channels.map(({ address }) => address.match)) : undefined;
    this.#framer = framer({
      frame: (bytes) => this.#frames.push(bytes),
      dropped: (why, bytes) => {
        context.count(`frames_${why}`);
        context.count('bytes_dropped', bytes);
      },
    });
    this.stream = {
      send: (bytes) => this.#send(bytes),
      onFrame: (listener) => {
        this.#frameListeners.add(listener);
        return () => {
          this.#frameListeners.delete(listener);
        };
      },
    };
  }

  /** What the transport is opened with. */
  readonly events: TransportEvents = {
    data: (bytes) => this.#data(bytes),
    lost: (error) => {
      if (this.#ended) return;
      this.#end(error);
      this.#context.down(error);
    },
  };

  /** Puts the port on its line. */
  use(transport: Transport): void {
    this.#transport = transport;
  }

  /** A serial line cannot be asked for a value: gives the last one each channel had. */
  async read(channels: readonly Channel[]): Promise<Reading[]> {
    if (this.#ended) throw this.#ended;
    return channels.map((channel) => {
      const last = this.#points.find((point) => point.channel.key === channel.key)?.last;
      return last ?? { ok: false, error: new DcsError('TIMEOUT', `nothing has matched ${channel.key} yet`) };
    });
  }

  async write(channel: Channel, _value: unknown): Promise<Written> {
    if (this.#ended) throw this.#ended;
    throw new DcsError('READ_ONLY', `${channel.key} is read from what the device sends; it cannot be written`);
  }

  subscribe(channel: Channel, listener: ReadingListener): () => void {
    const point = this.#points.find((one) => one.channel.key === channel.key);
    if (!point) return () => {};
    point.listeners.add(listener);
    const { last } = point;
    if (last) {
      queueMicrotask(() => {
        // A newer one has been told meanwhile.
        if (!this.#ended && point.last === last && point.listeners.has(listener)) listener(last);
      });
    }
    return () => {
      point.listeners.delete(listener);
    };
  }

  async close(): Promise<void> {
    this.#end(new DcsError('PORT_DOWN', `${this.#options.path} is closed`));
    await this.#transport?.close();
  }

  #end(error: DcsError): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#context.count('bytes_dropped', this.#framer.reset());
    this.#frameListeners.clear();
    for (const { listeners } of this.#points) listeners.clear();
  }

  #data(bytes: Buffer): void {
    if (this.#ended) return;
    this.#context.count('bytes_in', bytes.length);
    this.#framer.push(bytes);
    if (this.#frames.length > 0) this.#deliver();
  }

  #deliver(): void {
    const frames = this.#frames;
    this.#frames = [];
    const now = this.#context.clock.unix();
    this.#context.count('frames_in', frames.length);
    for (const frame of frames) {
      for (const listener of [...this.#frameListeners]) listener(frame, now);
    }
    if (!this.#matcher) return;
    const texts = frames.filter((frame) => frame.length > 0).map((frame) => this.#line(frame));
    this.#matcher.run(texts, this.#matches(now));
  }

  /** A frame as patterns see it. Lines cut at \n commonly end in \r\n; the \r is not part of the text. */
  #line(frame: Uint8Array): string {
    const text = decode(frame, this.#options.encoding);
    return this.#linefeed && text.endsWith('\r') ? text.slice(0, -1) : text;
  }

  #matches(sourceTime: UnixSeconds): MatchSink {
    return {
      matched: (pattern, captures) => {
        const point = this.#points[pattern];
        if (!point) return;
        const { type, match } = point.channel.address;
        const value = readCapture(captures[1], type);
        if (value !== undefined) {
          this.#tell(point, { ok: true, value, sourceTime });
          return;
        }
        this.#context.count('bad_captures');
        const found = captures[1] ?? '';
        const error = new DcsError('BAD_REPLY', `${JSON.stringify(found)}, captured by ${match}, is no ${type}`, {
          found,
          expected: `a ${type}`,
        });
        this.#tell(point, { ok: false, error });
      },
      unmatched: () => this.#context.count('frames_unmatched'),
      stuck: (pattern, final) => {
        const point = this.#points[pattern];
        if (!point) return;
        this.#context.count('pattern_timeouts');
        const { match } = point.channel.address;
        const message = `the pattern ${match} takes too long${final ? ' and is not tried any more' : ''}`;
        this.#context.log.warn({ channel: point.channel.key }, message);
        this.#tell(point, { ok: false, error: new DcsError(final ? 'BAD_CONFIG' : 'BAD_REPLY', message) });
      },
    };
  }

  #tell(point: Point, reading: Reading): void {
    point.last = reading;
    for (const listener of [...point.listeners]) listener(reading);
  }

  async #send(bytes: Uint8Array): Promise<number> {
    if (this.#ended) throw this.#ended;
    if (this.#queued + bytes.length > SEND_QUEUE) {
      this.#context.count('sends_refused');
      throw new DcsError('BUSY', `${this.#queued} bytes already wait to be sent on ${this.#options.path}`);
    }
    // A copy: the caller may use its buffer again.
    const copy = Buffer.from(bytes);
    this.#queued += copy.length;
    const sent = this.#tail.then(() => this.#sendNow(copy));
    this.#tail = sent.catch(() => undefined);
    return sent;
  }

  async #sendNow(bytes: Buffer): Promise<number> {
    try {
      if (this.#ended) throw this.#ended;
      await this.#transport?.send(bytes, this.#patience(bytes.length));
      this.#context.count('bytes_out', bytes.length);
      return bytes.length;
    } finally {
      this.#queued -= bytes.length;
    }
  }

  #patience(bytes: number): DurationMs {
    return SEND_PATIENCE_MS + (bytes * 12_000) / this.#options.line.baud;
  }
}
