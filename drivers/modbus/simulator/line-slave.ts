import type { Clock, DurationMs, MonotonicMs } from '../../../src/clock/clock.ts';
import type { Framing } from '../protocol/framing.ts';
import { answer } from '../server/answer.ts';
import type { ReceivedRequest, RequestReader } from '../server/request-reader.ts';
import type { Store } from '../server/store.ts';
import type { LineTiming } from '../transport/line-timing.ts';
import type { Fault, Script } from './fault.ts';
import { spoilt, type Wrapping } from './spoil.ts';

export interface LineSlaveSettings {
  readonly clock: Clock;
  readonly framing: Framing;
  readonly reader: RequestReader;
  readonly timing: LineTiming;
  /** How long the device thinks. */
  readonly slaveMs: DurationMs;
  readonly store: Store;
  /** Units it answers for; absent: all. */
  readonly units?: ReadonlySet<number>;
  /** The adapter gives the master its own bytes back. */
  readonly echo: boolean;
  send(bytes: Buffer): void;
  /** The line breaks, for so long. */
  unplug(away?: DurationMs): void;
}

/** Bytes are handed over in groups of this length, as an adapter would. */
const GRAIN_MS = 1;

/**
 * A slave on a half-duplex line. A stream has no baud rate, so it keeps the line's time itself: a request lasts as
 * long as its bytes would on the wire, and the reply's bytes come one after the other at the line's rate.
 */
export class LineSlave {
  script: Script = () => undefined;
  /** Requests heard. */
  heard = 0;
  readonly #settings: LineSlaveSettings;
  #heardUntil: MonotonicMs = 0;

  constructor(settings: LineSlaveSettings) {
    this.#settings = settings;
  }

  /** The master sends. */
  receive(bytes: Buffer): void {
    const { clock, reader, timing, echo, send } = this.#settings;
    if (echo) this.#later(bytes.length * timing.characterMs, () => send(bytes));
    const began = Math.max(clock.now(), this.#heardUntil);
    this.#heardUntil = began + bytes.length * timing.characterMs;
    reader.push(bytes, (request) => void this.#serve(request));
  }

  async #serve(request: ReceivedRequest): Promise<void> {
    const { clock, store, units, timing, slaveMs, framing } = this.#settings;
    const heardAt = this.#heardUntil;
    if (units && request.unit !== 0 && !units.has(request.unit)) return;
    const fault = this.script(request, this.heard++);
    // A device that refuses has done nothing.
    const refused = fault?.kind === 'exception';
    const proper = refused ? request.pdu : await answer(store, request.unit, request.pdu);
    if (request.unit === 0) return;
    const thinks = slaveMs + timing.gapMs + (fault?.kind === 'late' ? fault.ms : 0);
    const frame = spoilt(inFrames(framing), request.unit, request.pdu, proper, fault);
    if (fault?.kind === 'unplug') this.#settings.unplug(fault.ms);
    if (frame) this.#later(heardAt + thinks - clock.now(), () => this.#speak(frame, fault));
  }

  #speak(frame: Buffer, fault: Fault | undefined): void {
    const { clock, timing, send, unplug } = this.#settings;
    const began = clock.now();
    let sent = 0;
    const step = () => {
      const due =
        timing.characterMs === 0 ? frame.length : Math.floor((clock.now() - began) / timing.characterMs + 1e-6);
      const upTo = Math.min(frame.length, due);
      if (upTo > sent) send(frame.subarray(sent, upTo));
      sent = Math.max(sent, upTo);
      if (sent === frame.length) {
        if (fault?.kind === 'break') unplug();
        return;
      }
      const left = frame.length * timing.characterMs - (clock.now() - began);
      this.#later(Math.min(left, Math.max(GRAIN_MS, timing.characterMs)), step);
    };
    step();
  }

  #later(delay: DurationMs, action: () => void): void {
    if (delay <= 0) action();
    else this.#settings.clock.after(delay, action);
  }
}

function inFrames(framing: Framing): Wrapping {
  return {
    wrap: (unit, pdu) => framing.encode(unit, pdu),
    // The last but two: within the checksum of RTU, and before the line end of ASCII.
    damage: (frame) => {
      frame[frame.length - 3] = (frame.at(-3) ?? 0) ^ 1;
    },
  };
}
