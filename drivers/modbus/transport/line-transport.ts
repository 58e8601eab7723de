import type { Clock, DurationMs, MonotonicMs, Timer } from '../../../src/clock/clock.ts';
import { DcsError, toDcsError } from '../../../src/errors/errors.ts';
import { ModbusException } from '../protocol/exception.ts';
import type { Framing } from '../protocol/framing.ts';
import { encodePdu } from '../protocol/pdu.ts';
import { longestReply } from '../protocol/reply-length.ts';
import { describeRequest, isWrite, type Request } from '../protocol/request.ts';
import { EchoFilter, type EchoMode } from './echo.ts';
import { Exchange } from './exchange.ts';
import { afterExactly } from './fine-timer.ts';
import type { LineTiming } from './line-timing.ts';
import type { Link, LinkEvents } from './link.ts';
import { lostUnderWay, NothingWritten, tooLate } from './lost.ts';
import type { Transport, TransportEvents } from './transport.ts';
import { Unanswered } from './unanswered.ts';

/** So many characters into it a reply is known to be one (ASCII; RTU needs three). */
const HEAD = 8;

export interface LineSettingsOfBus {
  readonly clock: Clock;
  readonly framing: Framing;
  readonly echo: EchoMode;
  /** Silence after a broadcast, in which the units work (Modbus over serial line 1.02, 2.4.1). */
  readonly turnaroundMs: DurationMs;
  /** How one unit wants to be spoken to. */
  unit(unit: number): UnitOnLine;
}

export interface UnitOnLine {
  readonly timeoutMs: DurationMs;
  /** Silence before each request beyond what the standard asks. */
  readonly pauseMs: DurationMs;
  readonly timing: LineTiming;
}

/** One request at a time on a half-duplex bus, RTU or ASCII, be it a serial line or a stream to one. */
export class LineTransport implements Transport {
  readonly concurrency = 1;
  readonly #settings: LineSettingsOfBus;
  readonly #events: TransportEvents;
  readonly #unanswered = new Unanswered();
  readonly #echo: EchoFilter;
  #link: Link | undefined;
  #exchange: Exchange | undefined;
  #quietSince: MonotonicMs = 0;
  #wait: { readonly timer: Timer; readonly end: (error?: DcsError) => void } | undefined;
  #ended = false;

  constructor(settings: LineSettingsOfBus, events: TransportEvents) {
    this.#settings = settings;
    this.#events = events;
    this.#echo = new EchoFilter(settings.echo);
  }

  async start(open: (events: LinkEvents) => Promise<Link>): Promise<void> {
    this.#link = await open({ data: (bytes) => this.#receive(bytes), down: (error) => this.#down(error) });
    this.#quietSince = this.#settings.clock.now();
  }

  freeAt(unit: number): MonotonicMs {
    return this.#unanswered.freeAt(unit);
  }

  ready(unit: number): boolean {
    return this.#link?.ready?.(unit) ?? true;
  }

  async transact(request: Request, expiresAt?: MonotonicMs): Promise<Buffer> {
    if (request.unit === 0) return this.#broadcast(request, expiresAt);
    if (this.#echo.present === undefined && isWrite(request)) await this.#listenForEcho(request);
    return this.#ask(request, expiresAt);
  }

  async close(): Promise<void> {
    this.#end(new DcsError('PORT_DOWN', 'the port was closed'));
    await this.#link?.close();
  }

  async #ask(request: Request, expiresAt?: MonotonicMs): Promise<Buffer> {
    const frame = this.#settings.framing.encode(request.unit, encodePdu(request));
    await this.#quiet(request, expiresAt);
    const { timing, timeoutMs } = this.#settings.unit(request.unit);
    const { clock, framing } = this.#settings;
    return new Promise((resolve, reject) => {
      if (this.#closed() || !this.#link) {
        reject(new DcsError('PORT_DOWN', `${describeRequest(request)}: the port is closed`));
        return;
      }
      this.#flush();
      this.#echo.sending(frame);
      const exchange = new Exchange({
        request,
        clock,
        framing,
        echo: this.#echo,
        unanswered: this.#unanswered,
        count: (name, by) => this.#events.count(name, by),
        // The echo, if any, is on the wire while we send; the device keeps the line's silence before it answers.
        firstByteMs: (frame.length + HEAD) * timing.characterMs + timing.gapMs + timeoutMs,
        replyMs: framing.size(longestReply(request)) * timing.characterMs,
        quietMs: Math.max(2 * timing.gapMs, 20),
        end: (outcome) => {
          this.#exchange = undefined;
          this.#quietSince = Math.max(this.#quietSince, clock.now());
          if (!isWrite(request)) this.#echo.settled();
          if (outcome.doubtful) this.#unanswered.add(request, clock.now(), timeoutMs);
          if (outcome.kind === 'data') resolve(outcome.data);
          else if (outcome.kind === 'exception') reject(new ModbusException(request, outcome.exception));
          else reject(outcome.error);
        },
      });
      this.#exchange = exchange;
      this.#quietSince = clock.now() + frame.length * timing.characterMs;
      this.#link.send(frame);
    });
  }

  /** A read whose answer does not matter: it shows whether the adapter echoes. */
  async #listenForEcho(request: Request): Promise<void> {
    const coil = request.kind === 'write-coil' || request.kind === 'write-coils';
    const first = 'at' in request ? request.at : 'first' in request ? request.first : 0;
    try {
      await this.#ask({ kind: 'read', unit: request.unit, table: coil ? 'coil' : 'holding', first, count: 1 });
    } catch (thrown) {
      const error = toDcsError(thrown);
      // A unit that did not answer the question must not be written to while its answer may still come.
      if (error.code === 'TIMEOUT') throw new NothingWritten(error);
      if (error.code === 'PORT_DOWN') throw error;
    }
  }

  /** To every unit at once; none answers. */
  async #broadcast(request: Request, expiresAt?: MonotonicMs): Promise<Buffer> {
    if (!isWrite(request))
      throw new DcsError('NOT_SUPPORTED', `${describeRequest(request)}: unit 0 is all units of the bus, none answers`);
    const frame = this.#settings.framing.encode(0, encodePdu(request));
    await this.#quiet(request, expiresAt);
    const { timing } = this.#settings.unit(0);
    this.#flush();
    this.#link?.send(frame);
    try {
      await this.#pause(frame.length * timing.characterMs + this.#settings.turnaroundMs);
    } catch (error) {
      throw lostUnderWay(request, toDcsError(error));
    }
    this.#quietSince = this.#settings.clock.now();
    return Buffer.alloc(0);
  }

  /** Waits until the line has the settings of the unit and has been silent for as long as it wants. */
  async #quiet(request: Request, expiresAt = Number.POSITIVE_INFINITY): Promise<void> {
    const { unit } = request;
    if (this.#closed()) throw new DcsError('PORT_DOWN', 'the port is closed');
    const { timing, pauseMs } = this.#settings.unit(unit);
    await this.#link?.prepare?.(unit);
    for (;;) {
      // What has come before the request must not be taken for its reply.
      await this.#link?.catchUp?.();
      if (this.#closed()) throw new DcsError('PORT_DOWN', 'the port is closed');
      const now = this.#settings.clock.now();
      if (now >= expiresAt) throw tooLate(request);
      const left = this.#quietSince + timing.gapMs + pauseMs - now;
      if (left <= 0) return;
      await this.#pause(left);
    }
  }

  #pause(length: DurationMs): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (error?: DcsError) => {
        timer.cancel();
        this.#wait = undefined;
        if (error) reject(error);
        else resolve();
      };
      const timer = afterExactly(this.#settings.clock, length, () => end());
      this.#wait = { timer, end };
      if (this.#closed()) end(new DcsError('PORT_DOWN', 'the port is closed'));
    });
  }

  #receive(bytes: Buffer): void {
    this.#quietSince = Math.max(this.#quietSince, this.#settings.clock.now());
    if (this.#exchange) this.#exchange.receive(bytes);
    else this.#idle(bytes);
  }

  #stray = Buffer.alloc(0);

  /** Nobody is waiting: it can only be a late reply, or noise. */
  #idle(bytes: Buffer): void {
    const { clock, framing } = this.#settings;
    this.#stray = Buffer.concat([this.#stray, bytes]).subarray(-1024);
    const scan = framing.scan(this.#stray, this.#unanswered.recognisable(undefined));
    if (scan.kind !== 'frame') return;
    this.#stray = this.#stray.subarray(scan.to);
    this.#events.count('replies_late');
    this.#unanswered.seen(scan.request, clock.now());
    this.#events.freed();
  }

  /** What came before a request cannot be its reply. */
  #flush(): void {
    if (this.#stray.length > 0) this.#events.count('bytes_stray', this.#stray.length);
    this.#stray = Buffer.alloc(0);
  }

  #closed(): boolean {
    return this.#ended;
  }

  #down(error: DcsError): void {
    if (this.#ended) return;
    this.#end(new DcsError('PORT_DOWN', error.message, { cause: error }));
    void this.#link?.close();
    this.#events.down(error);
  }

  #end(error: DcsError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#wait?.end(error);
    this.#exchange?.abort(error);
  }
}
