import type { Clock, Timer } from '../../../src/clock/clock.ts';
import type { Link, LinkEvents } from '../../../src/driver/kit/link.ts';
import { crc16, type Framing, lrc8 } from '../protocol/framing.ts';
import { afterExactly, type LineTiming } from '../transport/line-timing.ts';
import type { Responder } from './tcp-server.ts';

export interface LineServerOptions {
  readonly clock: Clock;
  readonly framing: Framing;
  readonly reader: RequestReader;
  readonly timing: LineTiming;
  readonly respond: Responder;
  count(name: string, by?: number): void;
}

/** Longest pause between the pieces in which the operating system delivers a request. */
const SLACK_MS = 50;

/** A slave on a serial line. It answers requests to its units; it ignores all others and does not answer broadcasts. */
export class ModbusLineServer {
  readonly #options: LineServerOptions;
  #link: Link | undefined;
  #silenceTimer: Timer | undefined;
  /** Number of the newest request. The master no longer waits for the answers to older ones. */
  #newest = 0;

  constructor(settings: LineServerOptions) {
    this.#options = settings;
  }

  /** Opens the link. `down` reports its loss. */
  async start(open: (events: LinkEvents) => Promise<Link>, down: LinkEvents['down']): Promise<void> {
    this.#link = await open({ data: (bytes) => this.#receive(bytes), down });
  }

  async close(): Promise<void> {
    this.#silenceTimer?.cancel();
    const link = this.#link;
    this.#link = undefined;
    await link?.close();
  }

  #receive(bytes: Buffer): void {
    const { clock, reader, timing, count } = this.#options;
    this.#silenceTimer?.cancel();
    const before = reader.dropped;
    reader.push(bytes, (request) => void this.#serve(request));
    this.#silenceTimer = clock.after(Math.max(SLACK_MS, 2 * timing.gapMs), () => {
      reader.endOfFrame();
      if (reader.dropped > before) count('bytes_stray', reader.dropped - before);
    });
  }

  async #serve({ unit, pdu }: ReceivedRequest): Promise<void> {
    const { clock, framing, timing, respond } = this.#options;
    const turn = ++this.#newest;
    const heard = clock.now();
    const reply = await respond(unit, pdu);
    if (!reply || unit === 0) return;
    afterExactly(clock, heard + timing.gapMs - clock.now(), () => {
      if (turn === this.#newest) this.#link?.send(framing.encode(unit, reply));
      else this.#options.count('replies_stale');
    });
  }
}

export interface ReceivedRequest {
  readonly unit: number;
  readonly pdu: Buffer;
  /** Number of bytes on the wire. */
  readonly size: number;
}

/** Longest request: 256 bytes in RTU, 513 in ASCII; twice that may be held. */
const MAX_PENDING = 1024;

/** Splits received bytes into requests with a good checksum. Other bytes are dropped and counted. */
export interface RequestReader {
  push(bytes: Buffer, onRequest: (request: ReceivedRequest) => void): void;
  /** The line has been silent, so an incomplete request will not be completed. */
  endOfFrame(): void;
  dropped: number;
}

/** RTU: the length of a request follows from its function code. */
export class RtuRequestReader implements RequestReader {
  dropped = 0;
  #bytes: Buffer = Buffer.alloc(0);

  push(bytes: Buffer, onRequest: (request: ReceivedRequest) => void): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    for (let at = 0; at + 4 <= this.#bytes.length; ) {
      const length = requestLength(this.#bytes.subarray(at + 1));
      const end = at + 1 + (length ?? Number.POSITIVE_INFINITY);
      if (
        length === undefined ||
        end + 2 > this.#bytes.length ||
        crc16(this.#bytes, at, end) !== this.#bytes.readUInt16LE(end)
      ) {
        at++;
        continue;
      }
      const request = {
        unit: this.#bytes.readUInt8(at),
        pdu: Buffer.from(this.#bytes.subarray(at + 1, end)),
        size: end + 2 - at,
      };
      this.dropped += at;
      this.#bytes = this.#bytes.subarray(end + 2);
      at = 0;
      onRequest(request);
    }
    if (this.#bytes.length > MAX_PENDING) this.endOfFrame();
  }

  endOfFrame(): void {
    this.dropped += this.#bytes.length;
    this.#bytes = Buffer.alloc(0);
  }
}

function requestLength(pdu: Buffer): number | undefined {
  const fn = pdu[0] ?? 0;
  if (fn >= 1 && fn <= 6) return 5;
  if (fn === 15 || fn === 16) return pdu[5] === undefined ? undefined : 6 + pdu[5];
  if (fn === 22) return 7;
  if (fn === 23) return pdu[9] === undefined ? undefined : 10 + pdu[9];
  if (fn === 43) return 4;
  return undefined;
}

/** ASCII: a request lasts from the colon to the line feed. */
export class AsciiRequestReader implements RequestReader {
  dropped = 0;
  #text = '';

  push(bytes: Buffer, onRequest: (request: ReceivedRequest) => void): void {
    this.#text += bytes.toString('latin1');
    for (;;) {
      const end = this.#text.indexOf('\n');
      if (end < 0) break;
      const line = this.#text.slice(this.#text.lastIndexOf(':', end) + 1, end - 1);
      const raw = Buffer.from(line, 'hex');
      if (raw.length >= 3 && raw.length * 2 === line.length && lrc8(raw) === 0)
        onRequest({ unit: raw.readUInt8(0), pdu: raw.subarray(1, -1), size: line.length + 3 });
      else this.dropped += end + 1;
      this.#text = this.#text.slice(end + 1);
    }
    if (this.#text.length > MAX_PENDING) this.endOfFrame();
  }

  endOfFrame(): void {
    this.dropped += this.#text.length;
    this.#text = '';
  }
}
