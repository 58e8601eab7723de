import type { Clock, Timer } from '../../src/clock/clock.ts';
import type { WriteResult } from '../../src/driver/contract.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import { type DrivenLine, drivenLines, type ModemControl, type SensedLine, sensedLines } from './line/transport.ts';
import type { SerialChannel } from './serial-channel.ts';

/** How often the lines of the device are looked at (ms): the kernel tells no changes. */
const POLL_MS = 50;

/** The pins of a port that are modem control lines. */
export class ModemPins {
  readonly #clock: Clock;
  readonly #sensed: readonly { readonly point: SerialChannel; readonly line: SensedLine }[];
  #control: ModemControl | undefined;
  #port = 'this port';
  #timer: Timer | undefined;

  constructor(points: readonly SerialChannel[], clock: Clock) {
    this.#clock = clock;
    this.#sensed = points.flatMap((point) => {
      const line = sensedLines.find((name) => name === point.channel.address.control);
      return line ? [{ point, line }] : [];
    });
  }

  begin(port: string, control: ModemControl | undefined): void {
    this.#port = port;
    this.#control = control;
    if (this.#sensed.length > 0) this.#pollForever();
  }

  end(): void {
    this.#timer?.cancel();
  }

  /** Throws READ_ONLY for a line of the device, NOT_SUPPORTED where there are none. */
  write(name: DrivenLine | SensedLine, on: boolean): WriteResult {
    const line = drivenLines.find((driven) => driven === name);
    if (!line) throw new DcsError('READ_ONLY', `${name} is driven by the device`);
    this.#available().drive(line, on);
    return {};
  }

  /** Looks at the lines and tells what has changed. */
  poll(): void {
    if (this.#sensed.length === 0) return;
    try {
      const states = this.#available().sense();
      for (const { point, line } of this.#sensed) {
        const { last } = point;
        const now = { ok: true, value: states[line], sourceTime: this.#clock.unix() } as const;
        // Looked at all the same: whoever asks next must see that it is not old.
        if (last?.ok && last.value === now.value) point.last = now;
        else point.report(now);
      }
    } catch (thrown) {
      const error = toDcsError(thrown);
      for (const { point } of this.#sensed) if (point.last?.ok !== false) point.report({ ok: false, error });
    }
  }

  #pollForever(): void {
    this.poll();
    this.#timer = this.#clock.after(POLL_MS, () => this.#pollForever());
  }

  #available(): ModemControl {
    if (this.#control) return this.#control;
    throw new DcsError('NOT_SUPPORTED', `${this.#port} has no modem control lines`, {
      expected: 'a serial port of this machine, or rfc2217://',
    });
  }
}
