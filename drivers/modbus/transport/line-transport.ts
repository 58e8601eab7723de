import type { Clock, DurationMs, MonotonicMs } from '../../../src/clock/clock.ts';
import { DcsError, toDcsError } from '../../../src/errors/errors.ts';
import { ModbusException } from '../protocol/exception.ts';
import type { Framing } from '../protocol/framing.ts';
import { longestReply, STRICT } from '../protocol/reply.ts';
import { describeRequest, encodePdu, isWrite, type Request } from '../protocol/request.ts';
import type { LineTiming } from './line-timing.ts';
import { EchoFilter, type EchoMode, LateReplies, LineTransaction } from './line-transaction.ts';
import { SendTiming } from './send-timing.ts';
import {
  ConnectionClosedError,
  connectionLostError,
  NotSentError,
  type OpenLink,
  sendAgainAfterClosing,
  type Transport,
  type TransportEvents,
  type TransportLink,
  type UnitSettings,
} from './transport.ts';

/** Number of characters after which a reply is recognised (ASCII; RTU needs three). */
const HEADER_CHARACTERS = 8;

export interface LineTransportOptions {
  readonly clock: Clock;
  readonly framing: Framing;
  readonly echo: EchoMode;
  /** Silence after a broadcast, in which the units process it (Modbus over serial line 1.02, 2.4.1). */
  readonly turnaroundMs: DurationMs;
  /** Times of one unit. */
  unit(unit: number): UnitTiming;
}

export interface UnitTiming extends UnitSettings {
  readonly timing: LineTiming;
}

/** Sends one request at a time on a half-duplex bus, RTU or ASCII: a serial line, or a stream to one. */
export class LineTransport implements Transport {
  readonly concurrency = 1;
  readonly #options: LineTransportOptions;
  readonly #events: TransportEvents;
  readonly #lateReplies = new LateReplies();
  readonly #echo: EchoFilter;
  readonly #timing: SendTiming;
  #link: TransportLink | undefined;
  #transaction: LineTransaction | undefined;
  #ended = false;

  constructor(settings: LineTransportOptions, events: TransportEvents) {
    this.#options = settings;
    this.#events = events;
    this.#echo = new EchoFilter(settings.echo);
    this.#timing = new SendTiming(settings.clock);
  }

  async start(open: OpenLink): Promise<void> {
    this.#link = await open({
      data: (bytes) => this.#receive(bytes),
      down: (error) => this.#down(error),
      opened: (broken) => {
        this.#timing.noteActivity();
        if (broken) this.#events.reconnected?.();
      },
      closed: (error) => this.#transaction?.abort(new ConnectionClosedError(error)),
    });
    this.#timing.noteActivity();
  }

  freeAt(unit: number): MonotonicMs {
    return this.#lateReplies.freeAt(unit, (one) => this.#options.unit(one).tolerates?.anyUnit === true);
  }

  ready(unit: number): boolean {
    return this.#link?.ready?.(unit) ?? true;
  }

  async transact(request: Request, expiresAt = Number.POSITIVE_INFINITY): Promise<Buffer> {
    if (request.unit === 0) return this.#broadcast(request, expiresAt);
    if (this.#echo.present === undefined && isWrite(request)) await this.#detectEcho(request);
    const count = (name: string) => this.#events.count(name);
    return sendAgainAfterClosing(request, count, () => this.#send(request, expiresAt));
  }

  async close(): Promise<void> {
    this.#end(new DcsError('PORT_DOWN', 'the port was closed'));
    await this.#link?.close();
  }

  async #send(request: Request, expiresAt = Number.POSITIVE_INFINITY): Promise<Buffer> {
    const frame = this.#options.framing.encode(request.unit, encodePdu(request));
    const link = await this.#waitForSilence(request, expiresAt);
    const { timing, timeoutMs } = this.#options.unit(request.unit);
    const { clock, framing, unit } = this.#options;
    return new Promise((resolve, reject) => {
      this.#discardStray();
      this.#echo.noteSent(frame);
      const exchange = new LineTransaction({
        request,
        clock,
        framing,
        tolerates: (one) => unit(one).tolerates ?? STRICT,
        echo: this.#echo,
        lateReplies: this.#lateReplies,
        count: (name, by) => this.#events.count(name, by),
        // The echo is on the wire while we send; the device keeps the line's silence before it answers.
        firstByteMs: (frame.length + HEADER_CHARACTERS) * timing.characterMs + timing.gapMs + timeoutMs,
        replyMs: framing.size(longestReply(request)) * timing.characterMs,
        quietMs: Math.max(2 * timing.gapMs, 20),
        end: (outcome) => {
          this.#transaction = undefined;
          this.#timing.noteActivity();
          if (!isWrite(request)) this.#echo.readEnded();
          if (outcome.doubtful) this.#lateReplies.add(request, clock.now(), timeoutMs);
          link.requestEnded?.(outcome.kind !== 'error');
          if (outcome.kind === 'data') resolve(outcome.data);
          else if (outcome.kind === 'exception') reject(new ModbusException(request, outcome.exception));
          else reject(outcome.error);
        },
      });
      this.#transaction = exchange;
      this.#timing.noteActivity(clock.now() + frame.length * timing.characterMs);
      link.send(frame);
    });
  }

  /** Reads something, only to find out whether the adapter echoes. */
  async #detectEcho(request: Request): Promise<void> {
    const coil = request.kind === 'write-coil' || request.kind === 'write-coils';
    const first = 'at' in request ? request.at : 'first' in request ? request.first : 0;
    try {
      await this.#send({ kind: 'read', unit: request.unit, table: coil ? 'coil' : 'holding', first, count: 1 });
    } catch (thrown) {
      const error = toDcsError(thrown);
      // While the answer of the unit may still come, the unit must not be written to.
      if (error.code === 'TIMEOUT') throw new NotSentError(error);
      if (error.code === 'PORT_DOWN') throw error;
    }
  }

  /** Sends to every unit at once; none answers. */
  async #broadcast(request: Request, expiresAt: MonotonicMs): Promise<Buffer> {
    if (!isWrite(request))
      throw new DcsError('NOT_SUPPORTED', `${describeRequest(request)}: unit 0 is all units of the bus, none answers`);
    const frame = this.#options.framing.encode(0, encodePdu(request));
    const link = await this.#waitForSilence(request, expiresAt);
    const { timing } = this.#options.unit(0);
    this.#discardStray();
    link.send(frame);
    try {
      await this.#timing.delay(frame.length * timing.characterMs + this.#options.turnaroundMs);
    } catch (error) {
      throw connectionLostError(request, toDcsError(error));
    }
    this.#timing.noteActivity();
    link.requestEnded?.(true);
    return Buffer.alloc(0);
  }

  /** Waits until the line has the settings of the unit and has been silent for long enough. */
  async #waitForSilence(request: Request, expiresAt: MonotonicMs): Promise<TransportLink> {
    const link = this.#link;
    if (this.#ended || !link) throw new DcsError('PORT_DOWN', `${describeRequest(request)}: the port is closed`);
    const { timing, pauseMs } = this.#options.unit(request.unit);
    await this.#timing.wait(link, request, { silenceMs: timing.gapMs + pauseMs, expiresAt, exposed: true });
    return link;
  }

  #receive(bytes: Buffer): void {
    this.#timing.noteActivity();
    if (this.#transaction) this.#transaction.receive(bytes);
    else this.#receiveUnsolicited(bytes);
  }

  #stray = Buffer.alloc(0);

  /** Bytes without a request under way: a late reply, or noise. */
  #receiveUnsolicited(bytes: Buffer): void {
    const { clock, framing } = this.#options;
    this.#stray = Buffer.concat([this.#stray, bytes]).subarray(-1024);
    const late = this.#lateReplies.distinguishableFrom(undefined);
    const scan = framing.scan(this.#stray, late, (unit) => this.#options.unit(unit).tolerates ?? STRICT);
    if (scan.kind !== 'frame') return;
    this.#stray = this.#stray.subarray(scan.to);
    this.#events.count('replies_late');
    this.#lateReplies.noteArrival(scan.request, clock.now());
    this.#events.unitReleased();
  }

  /** Drops bytes that arrived before a request: they cannot be its reply. */
  #discardStray(): void {
    if (this.#stray.length > 0) this.#events.count('bytes_stray', this.#stray.length);
    this.#stray = Buffer.alloc(0);
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
    this.#timing.end(error);
    this.#transaction?.abort(error);
  }
}
