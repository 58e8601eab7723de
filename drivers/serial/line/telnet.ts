/** Telnet (RFC 854): commands within a byte stream. */
export const IAC = 255;
const DONT = 254;
const DO = 253;
const WONT = 252;
const WILL = 251;
const SB = 250;
const SE = 240;

export type Negotiation = 'do' | 'dont' | 'will' | 'wont';
const NAMES: ReadonlyMap<number, Negotiation> = new Map([
  [DO, 'do'],
  [DONT, 'dont'],
  [WILL, 'will'],
  [WONT, 'wont'],
]);
const CODES: Readonly<Record<Negotiation, number>> = { do: DO, dont: DONT, will: WILL, wont: WONT };

/** Longest subnegotiation; RFC 2217 needs 6 bytes, signatures are text. */
const MAX_SUB = 256;

export interface TelnetSink {
  data(bytes: Buffer): void;
  negotiation(verb: Negotiation, option: number): void;
  subnegotiation(bytes: Buffer): void;
}

/** Removes telnet commands from a byte stream, wherever it is split. */
export class TelnetReader {
  readonly #sink: TelnetSink;
  #state: 'data' | 'iac' | 'option' | 'sub' | 'sub-iac' = 'data';
  #verb: Negotiation = 'wont';
  #sub: number[] = [];

  constructor(sink: TelnetSink) {
    this.#sink = sink;
  }

  push(bytes: Buffer): void {
    let from = 0;
    while (from < bytes.length) {
      if (this.#state !== 'data') {
        this.#command(bytes[from] ?? 0);
        from++;
        continue;
      }
      const iac = bytes.indexOf(IAC, from);
      const end = iac < 0 ? bytes.length : iac;
      if (end > from) this.#sink.data(bytes.subarray(from, end));
      if (iac >= 0) this.#state = 'iac';
      from = end + 1;
    }
  }

  #command(byte: number): void {
    if (this.#state === 'iac') this.#afterIac(byte);
    else if (this.#state === 'option') {
      this.#state = 'data';
      this.#sink.negotiation(this.#verb, byte);
    } else if (this.#state === 'sub') {
      if (byte === IAC) this.#state = 'sub-iac';
      else if (this.#sub.length < MAX_SUB) this.#sub.push(byte);
    } else if (byte === IAC) {
      this.#state = 'sub';
      this.#sub.push(byte);
    } else {
      // IAC SE ends the subnegotiation. Any other byte ends it too, and its content is dropped.
      this.#state = 'data';
      if (byte === SE) this.#sink.subnegotiation(Buffer.from(this.#sub));
    }
  }

  #afterIac(byte: number): void {
    const verb = NAMES.get(byte);
    this.#state = 'data';
    if (byte === IAC) this.#sink.data(Buffer.from([IAC]));
    else if (byte === SB) {
      this.#sub = [];
      this.#state = 'sub';
    } else if (verb) {
      this.#verb = verb;
      this.#state = 'option';
    }
  }
}

/** Encodes data: each IAC byte is doubled. */
export function escapeIac(bytes: Uint8Array): Buffer {
  if (!bytes.includes(IAC)) return Buffer.from(bytes);
  return Buffer.from([...bytes].flatMap((byte) => (byte === IAC ? [IAC, IAC] : [byte])));
}

export function negotiate(verb: Negotiation, option: number): Buffer {
  return Buffer.from([IAC, CODES[verb], option]);
}

export function subnegotiate(bytes: readonly number[]): Buffer {
  return Buffer.concat([Buffer.from([IAC, SB]), escapeIac(Buffer.from(bytes)), Buffer.from([IAC, SE])]);
}
