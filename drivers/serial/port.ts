import type { MonotonicMs, UnixSeconds } from '../../src/clock/clock.ts';
import type {
  ByteStream,
  Channel,
  CrashPlan,
  Port,
  PortContext,
  Reading,
  SafeWrite,
  WriteOptions,
  WriteResult,
} from '../../src/driver/contract.ts';
import { siblingModule } from '../../src/driver/crash-plan.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { fitsKind, type RawValue } from '../../src/pin/pin.ts';
import type { Command, SerialAddress } from './address.ts';
import type { SerialPlan } from './crash-plan.ts';
import type { MeterKeys } from './dlms/ciphering.ts';
import { FrameReceiver, type MatchedFrame } from './frame-receiver.ts';
import { drivenLines, type Transport, type TransportEvents } from './line/transport.ts';
import { ModemPins } from './modem.ts';
import type { SerialOptions } from './options.ts';
import { RequestQueue } from './request-queue.ts';
import { confirmationMatcher, Poll, SerialChannel } from './serial-channel.ts';
import { render, resolutionOf } from './template.ts';

/** Longest time (ms) of flow control, beyond the time that the line needs for the bytes. */
const SEND_TIMEOUT_MS = 2000;
/** Telegrams in a row that cannot be read until the pins are bad: a single one may be damaged on the line. */
const MAX_UNREADABLE = 3;

type FrameListener = (frame: Uint8Array, sourceTime: UnixSeconds) => void;

/** A serial port. Received frames go to stream listeners and, through patterns, to pins; commands, polls and bytes go out. */
export class SerialPort implements Port {
  readonly stream: ByteStream;
  /** Events to open the transport with. */
  readonly events: TransportEvents;
  readonly #options: SerialOptions;
  readonly #context: PortContext;
  readonly #name: string;
  readonly #receiver: FrameReceiver;
  readonly #requests: RequestQueue;
  readonly #channels: ReadonlyMap<string, SerialChannel>;
  readonly #unsolicited: readonly SerialChannel[];
  readonly #polls: readonly Poll[];
  readonly #modem: ModemPins;
  readonly #frameListeners = new Set<FrameListener>();
  #transport: Transport | undefined;
  #ended: DcsError | undefined;
  /** Telegrams in a row that could not be read. */
  #unreadable = 0;

  constructor(
    options: SerialOptions,
    name: string,
    channels: readonly Channel<SerialAddress>[],
    context: PortContext,
    keys?: MeterKeys,
  ) {
    this.#options = options;
    this.#context = context;
    this.#name = name;
    const own = channels.map((channel) => new SerialChannel(channel, context));
    this.#channels = new Map(own.map((channel) => [channel.channel.key, channel]));
    this.#unsolicited = own.filter(({ source }) => source && !source.ask);
    this.#receiver = new FrameReceiver(
      options,
      patternsOf(channels),
      { matching: channels.length > 0, keys },
      context,
      {
        frame: (bytes, sourceTime) => {
          for (const listener of this.#frameListeners) listener(bytes, sourceTime);
        },
        matched: (frame, sourceTime) => this.#handleFrame(frame, sourceTime),
        patternTimeout: (pattern, final) => this.#patternTimedOut(pattern, final),
        unreadable: (error) => this.#noteUnreadable(error),
      },
    );
    const byteTime = 10_000 / options.line.baud;
    this.#requests = new RequestQueue({
      send: (bytes) => this.#transmit(bytes, SEND_TIMEOUT_MS + 2 * bytes.length * byteTime),
      timeout: options.timeout,
      byteTime,
      clock: context.clock,
      count: (counter, by) => context.count(counter, by),
    });
    this.#modem = new ModemPins(own, context.clock);
    this.#polls = pollsOf(own, options, this.#requests, context);
    this.stream = {
      send: (bytes) => this.#send(bytes),
      onFrame: (listener) => {
        this.#frameListeners.add(listener);
        return () => {
          this.#frameListeners.delete(listener);
        };
      },
    };
    this.events = this.#transportEvents();
  }

  /** Takes the open line. Resolves when the opening values are sent, and confirmed where a reply is configured. */
  async begin(transport: Transport): Promise<void> {
    this.#transport = transport;
    this.#receiver.begin();
    this.#modem.begin(this.#name, transport.control);
    for (const { channel } of this.#channels.values()) {
      if (channel.direction === 'out' && channel.openingValue !== undefined)
        await this.write(channel, channel.openingValue);
    }
    if (this.#ended) return;
    for (const channel of this.#channels.values()) channel.startAgeTimer();
    for (const poll of this.#polls) poll.start();
  }

  /** Asks for channels with `ask` now; the other channels give their last reading. */
  async read(channels: readonly Channel[]): Promise<Reading[]> {
    if (this.#ended) throw this.#ended;
    const keys = new Set(channels.map(({ key }) => key));
    const asked = this.#polls.filter(({ channels: points }) => points.some(({ channel }) => keys.has(channel.key)));
    this.#modem.poll();
    await Promise.all(asked.map((poll) => poll.ask()));
    const ended: DcsError | undefined = this.#ended;
    if (ended) throw ended;
    return channels.map(({ key }) => {
      const last = this.#channels.get(key)?.last;
      return last ?? { ok: false, error: new DcsError('TIMEOUT', `nothing has matched ${key} yet`) };
    });
  }

  async write(channel: Channel, value: RawValue, { expiresAt }: WriteOptions = {}): Promise<WriteResult> {
    if (this.#ended) throw this.#ended;
    const own = this.#channels.get(channel.key);
    const { command, control } = own?.channel.address ?? {};
    if (control && typeof value === 'boolean') return this.#modem.write(control, value);
    if (!own || !command) {
      throw new DcsError('READ_ONLY', `${channel.key} is read from what the device sends; it cannot be written`);
    }
    if (!fitsKind(channel.kind, value)) {
      throw new DcsError('BAD_VALUE', `${channel.key} cannot hold ${JSON.stringify(value)}`, {
        found: value,
        expected: channel.kind,
      });
    }
    const readBack = await this.#sendCommand(own, command, value, expiresAt);
    return { ...(readBack !== undefined && { readBack }) };
  }

  resolution({ key }: Channel, value: RawValue): number | undefined {
    const template = this.#channels.get(key)?.channel.address.command?.template;
    return template && 'parts' in template ? resolutionOf(template, value) : undefined;
  }

  /** Resolves with the value that the device states in its confirmation or after it; `undefined` when it states none. */
  async #sendCommand(
    own: SerialChannel,
    command: Command,
    value: RawValue,
    expiresAt: MonotonicMs | undefined,
  ): Promise<RawValue | undefined> {
    const { reply, refused, retries } = command;
    const job = { bytes: bytesOf(command, value, this.#options), lane: 'write', retries, expiresAt } as const;
    if (!reply) {
      await this.#requests.submit(job);
      return undefined;
    }
    // A frame from before the confirmation may be older than the command, so its value confirms nothing.
    let before: Reading | undefined;
    const onConfirmed = () => {
      before = own.last;
    };
    await this.#requests.submit({ ...job, createMatcher: () => confirmationMatcher(reply, refused, onConfirmed) });
    const { last } = own;
    return last !== before && last?.ok ? last.value : undefined;
  }

  crashPlan(writes: readonly SafeWrite[]): CrashPlan {
    const addresses = writes.map(({ channel: { key }, value }) => ({
      at: this.#channels.get(key)?.channel.address,
      value,
    }));
    const { line, flow, hupcl, low_latency, dtr, rts, timeout } = this.#options;
    const plan: SerialPlan = {
      path: this.#name,
      options: { line, flow, hupcl, low_latency, dtr, rts },
      messages: addresses.flatMap(({ at, value }) => (at?.command ? [bytesOf(at.command, value, this.#options)] : [])),
      pauseMs: timeout,
      lines: addresses.flatMap(({ at, value }) => {
        const driven = drivenLines.find((name) => name === at?.control);
        return driven ? [{ line: driven, on: value === true }] : [];
      }),
    };
    return { executor: siblingModule(import.meta.url, 'crash-plan'), plan };
  }

  async close(): Promise<void> {
    this.#end(new DcsError('PORT_DOWN', `${this.#name} is closed`));
    await this.#transport?.close();
  }

  #transportEvents(): TransportEvents {
    return {
      data: (bytes) => {
        if (!this.#ended) this.#receiver.push(bytes);
      },
      damaged: (byte) => {
        if (!this.#ended) this.#receiver.damaged(byte);
      },
      interrupted: () => this.#receiver.end(),
      resumed: () => this.#receiver.begin(),
      lost: (error) => {
        if (this.#ended) return;
        this.#end(error);
        this.#context.down(error);
      },
    };
  }

  #end(error: DcsError): void {
    if (this.#ended) return;
    this.#ended = error;
    for (const poll of this.#polls) poll.stop();
    this.#modem.end();
    this.#requests.end(error);
    this.#receiver.end();
    this.#frameListeners.clear();
    for (const channel of this.#channels.values()) channel.end();
  }

  #handleFrame(frame: MatchedFrame, now: UnixSeconds): void {
    if (this.#ended) return;
    this.#unreadable = 0;
    let matched = this.#requests.handleFrame(frame);
    if (frame.partial && !matched) {
      this.#context.count('frames_partial');
      return;
    }
    for (const channel of this.#unsolicited) {
      const reading = channel.readingOf(frame, now);
      if (!reading) continue;
      matched = true;
      if (!reading.ok) this.#context.count('bad_captures');
      channel.noteMatch();
      channel.report(reading);
    }
    if (!matched && this.#channels.size > 0) this.#context.count('frames_unmatched');
  }

  #noteUnreadable(error: DcsError): void {
    this.#unreadable++;
    if (this.#unreadable < MAX_UNREADABLE && error.code !== 'BAD_CONFIG') return;
    if (this.#unreadable <= MAX_UNREADABLE) this.#context.log.warn({ port: this.#name }, error.message);
    for (const channel of this.#unsolicited) channel.report({ ok: false, error });
  }

  #patternTimedOut(pattern: RegExp, final: boolean): void {
    this.#context.count('pattern_timeouts');
    const message = `the pattern ${pattern} takes too long${final ? ' and is not tried any more' : ''}`;
    this.#context.log.warn({ port: this.#name }, message);
    const error = new DcsError(final ? 'BAD_CONFIG' : 'BAD_REPLY', message, {
      expected: 'a pattern without nested repetitions such as (a+)+',
    });
    for (const channel of this.#channels.values()) {
      const { source } = channel;
      const concerned = [source?.pattern, source?.bad].some((own) => own?.match.source === pattern.source);
      if (concerned) channel.report({ ok: false, error });
    }
  }

  async #send(bytes: Uint8Array): Promise<number> {
    // A copy, because the caller may reuse its buffer.
    await this.#requests.submit({ bytes: Buffer.from(bytes), lane: 'write', retries: 0 });
    return bytes.length;
  }

  async #transmit(bytes: Buffer, limit: number): Promise<void> {
    if (this.#ended) throw this.#ended;
    this.#receiver.expectEcho(bytes);
    this.#receiver.noteSettled();
    await this.#transport?.send(bytes, limit);
    // Once more: a connection may have been made for it.
    this.#receiver.noteSettled();
    this.#context.count('bytes_out', bytes.length);
  }
}

function patternsOf(channels: readonly Channel<SerialAddress>[]): RegExp[] {
  return channels.flatMap(({ address: { source, command } }) =>
    [source?.pattern?.match, source?.bad?.match, command?.reply, command?.refused].flatMap((pattern) => pattern ?? []),
  );
}

interface PollGroup {
  readonly ask: { readonly bytes: Buffer; readonly every: number };
  readonly channels: SerialChannel[];
}

/** One poll for each command and rate, however many channels its answer fills. */
function pollsOf(
  channels: readonly SerialChannel[],
  options: SerialOptions,
  requests: RequestQueue,
  context: PortContext,
): Poll[] {
  const groups = new Map<string, PollGroup>();
  for (const channel of channels) {
    const ask = channel.source?.ask;
    if (!ask) continue;
    const name = `${ask.every} ${ask.bytes.toString('latin1')}`;
    const group: PollGroup = groups.get(name) ?? { ask, channels: [] };
    group.channels.push(channel);
    groups.set(name, group);
  }
  return [...groups.values()].map((group) => new Poll(group.ask, group.channels, options, requests, context));
}

function bytesOf({ template }: Command, value: RawValue, { encoding }: SerialOptions): Buffer {
  if ('parts' in template) return render(template, value, encoding);
  return value === true ? template.on : template.off;
}
